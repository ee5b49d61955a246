package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// StartTLS is Start with servers that speak TLS alone, also among themselves. TLS
// says how to reach them.
func StartTLS() (*Cluster, error) { return start(true) }

// TLS is what a client of the cluster needs; nil if the cluster speaks plainly.
func (c *Cluster) TLS() *tls.Config {
	if c.roots == nil {
		return nil
	}
	return &tls.Config{RootCAs: c.roots}
}

func (c *Cluster) certFile() string { return filepath.Join(c.dir, "cert.pem") }

func (c *Cluster) keyFile() string { return filepath.Join(c.dir, "key.pem") }

// makeCertificate makes one for the loopback address, that vouches for itself.
func (c *Cluster) makeCertificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	c.roots = x509.NewCertPool()
	c.roots.AppendCertsFromPEM(certPEM)
	if err := os.WriteFile(c.certFile(), certPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(c.keyFile(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600)
}

// serverArgs are those that say how a server listens.
func (c *Cluster) serverArgs(port string) []string {
	if c.roots == nil {
		return []string{"--port", port}
	}
	return []string{
		"--port", "0", "--tls-port", port, "--tls-cluster", "yes", "--tls-auth-clients", "no",
		"--tls-cert-file", c.certFile(), "--tls-key-file", c.keyFile(), "--tls-ca-cert-file", c.certFile(),
	}
}

// clientArgs are those that redis-cli needs to reach it.
func (c *Cluster) clientArgs() []string {
	if c.roots == nil {
		return nil
	}
	return []string{"--tls", "--cacert", c.certFile()}
}
