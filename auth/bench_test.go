package auth

import (
	"testing"
	"time"
)

func BenchmarkVerify(b *testing.B) {
	eddsa, hs256 := keys(b)
	v := open(b, Options{})
	for _, k := range []*Key{hs256, eddsa} {
		tok, err := Sign(k, Claims{Subject: "ann", Expires: testNow.Add(time.Hour)})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(k.Algorithm(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.check(tok, testNow); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(k.Algorithm()+" remembered", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(tok); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
