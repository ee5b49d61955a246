// Package crashtest kills a node as a process and breaks its system calls, and
// holds what is left to everything that its clients were told.
//
// The node is the program in folder node: the chat store on a real disk, with
// lines on its standard input for sends and lines on its standard output for
// acknowledgements, so that what "told" means is what a system call wrote.
package crashtest
