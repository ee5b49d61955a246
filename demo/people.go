package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/parleychat/parley"
)

// person is one of the world's people.
type person struct {
	subject string // of the token: how he logs in
	name    string // what others read
	picture string // a reference; some have none
}

// known are the first people of every world, so that whoever tries it out finds
// them under the same names. The conversation with daniel is the longest, those
// with layla and noam are written from right to left.
var known = []person{
	{subject: "maya", name: "Maya Lindqvist"},
	{subject: "daniel", name: "Daniel Okafor"},
	{subject: "priya", name: "Priya Raman"},
	{subject: "layla", name: "Layla Haddad"},
	{subject: "noam", name: "Noam Peretz"},
	{subject: "tomas", name: "Tomás Herrera"},
}

// Everybody's first device, with which all is written.
const (
	phoneName     = "Phone"
	phonePlatform = "Android"
)

// mainDevices are what the main person has besides. They come after a part of the
// world's time, and were there last such a part before its end.
var mainDevices = [...]struct {
	name, platform string
	comes, gone    float64
}{
	{name: "Old tablet", platform: "iPadOS", comes: 0.05, gone: 0.6},
	{name: "Work laptop", platform: "Firefox on Linux", comes: 0.4, gone: 0.003},
}

// deviceID is that of a person's nth device, the same whenever he comes with it.
func deviceID(seed uint64, subject string, nth int) parley.DeviceID {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %d", seed, subject, nth))
	return parley.DeviceID(sum[:16])
}

// The places of those whom the plan names.
const (
	mainPerson   = 0
	closest      = 1
	second       = 2
	arabicPerson = 3
	hebrewPerson = 4
)

// names are given names and surnames from one part of the world in each row.
var names = [...]struct{ given, surnames string }{
	{"Astrid Jonas Freja Lars Solveig Emil", "Bergström Nyberg Dahl Holm"},
	{"Chidi Amara Kwame Zola Thandi Femi", "Adeyemi Mensah Nkosi Diallo"},
	{"Arjun Meera Kavya Rohan Anil Divya", "Iyer Sharma Banerjee Kapoor"},
	{"Yuki Haruto Sakura Kenji Aiko Ren", "Tanaka Mori Kobayashi Ito"},
	{"Omar Yasmin Karim Salma Tariq Nadia", "Mansour Khalil Aziz Farouk"},
	{"Lucía Mateo Valentina Diego Camila Joaquín", "Rojas Fuentes Vargas Molina"},
	{"Chloé Hugo Margaux Luc Inès Bastien", "Moreau Girard Lambert Fontaine"},
	{"Anna Piotr Zofia Marek Kasia Jakub", "Kowalska Nowak Zieliński Wójcik"},
	{"Giulia Matteo Chiara Luca Elena Paolo", "Ferrari Romano Greco Conti"},
	{"Mei Wei Ling Jun Xiao Hao", "Chen Zhang Liu Wang"},
	{"Min-jun Seo-yeon Ji-woo Ha-eun Do-yun Su-a", "Kim Park Choi Jung"},
	{"Aoife Cian Niamh Sean Orla Declan", "Murphy Byrne Walsh Doyle"},
	{"Ayşe Mehmet Elif Emre Zeynep Can", "Yılmaz Demir Kaya Şahin"},
	{"Ana João Beatriz Tiago Inês Rui", "Silva Ferreira Costa Almeida"},
	{"Linh Minh Thảo Quang Hương Nam", "Nguyễn Trần Lê Phạm"},
	{"Grace Samuel Hannah Peter Ruth Joseph", "Wanjiru Otieno Mwangi Achieng"},
}

// populate makes n people: those known, and others as the seed has it. Nobody's
// given name is another's as long as there are names.
func populate(n int, rng *rand.Rand) []person {
	type candidate struct{ given, surname string }
	var rounds [4][]candidate // of a round, each given name is there once
	for _, row := range names {
		given, surnames := strings.Fields(row.given), strings.Fields(row.surnames)
		for i, g := range given {
			for k := range rounds {
				rounds[k] = append(rounds[k], candidate{g, surnames[(i+k)%len(surnames)]})
			}
		}
	}
	people := append([]person(nil), known[:min(n, len(known))]...)
	defer func() {
		for i := range people {
			if i != mainPerson && i%3 != 0 {
				people[i].picture = landscape(rng)
			}
		}
	}()
	for k := 0; len(people) < n; k++ {
		round := rounds[k%len(rounds)]
		rng.Shuffle(len(round), func(i, j int) { round[i], round[j] = round[j], round[i] })
		for _, c := range round[:min(len(round), n-len(people))] {
			p := person{subject: plain(c.given), name: c.given + " " + c.surname}
			if k > 0 {
				p.subject += "." + plain(c.surname)
			}
			if k >= len(rounds) {
				p.subject += fmt.Sprint(k)
				p.name += " " + strings.Repeat("I", k-len(rounds)+2)
			}
			people = append(people, p)
		}
	}
	return people
}

var plainLetters = strings.NewReplacer(
	"á", "a", "ã", "a", "ả", "a", "ạ", "a", "ầ", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ễ", "e",
	"í", "i", "ì", "i", "ı", "i", "ń", "n", "ñ", "n", "ó", "o", "ö", "o", "ơ", "o", "ş", "s",
	"ü", "u", "ú", "u", "ư", "u", "ł", "l", "ø", "o", "-", "")

// plain is a name as one types it to log in.
func plain(s string) string { return plainLetters.Replace(strings.ToLower(s)) }

// given is the name that friends use.
func (p person) given() string {
	g, _, _ := strings.Cut(p.name, " ")
	return g
}

// landscape is a small picture in itself, so that nothing need be fetched: a sky, a
// sun and hills.
func landscape(rng *rand.Rand) string {
	hue := rng.IntN(360)
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path fill="hsl(%d,60%%,78%%)" d="M0 0h9v9H0z"/>`+
		`<circle cx="%d" cy="3" r="1.3" fill="#fe9"/><path fill="hsl(%d,35%%,40%%)" d="M0 %dl3-2 2 2 2-1 2 2v9H0z"/></svg>`,
		hue, 2+rng.IntN(6), (hue+90+rng.IntN(180))%360, 6+rng.IntN(2))
	return "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(svg))
}
