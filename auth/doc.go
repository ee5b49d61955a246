// Package auth says who a token is. Tokens are JSON Web Tokens, signed by the
// app's own login with a key of which Parley has the file.
//
//	v, err := auth.Open("keys.json", auth.Options{Issuer: "https://login.example"})
//	claims, err := v.Verify(token) // matches parley.BadToken when refused
//
// Invariants:
//
//   - A key has one algorithm; what a token says of its algorithm only has to
//     agree.
//   - Whatever is not plainly right is refused: a header with anything but alg,
//     typ and kid, a member that stands twice, a claim of another type than
//     ours, base64 in any form but one. Two programs that read a token never
//     understand two users.
//   - A token is not read past its size, and its claims not before its
//     signature held.
//   - No error and no log holds a token or a part of one.
//   - Tokens that held are remembered until they expire, in bounded memory, so
//     that a storm of reconnecting clients costs a hash each.
//
// The signatures are golang-jwt's; all else is checked here, for libraries let
// pass what RFC 7515 and RFC 8725 forbid. docs/AUTH.md describes tokens and key
// files for those who issue them.
package auth
