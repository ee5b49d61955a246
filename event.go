package parley

// EventType says what a system message tells. The numbers are stored; they
// never change.
type EventType uint8

// The events that are messages of a conversation themselves, so that all agree
// when they happened.
const (
	EventCreated EventType = 1 // From made the conversation with Users, named Title
	EventAdded   EventType = 2 // From added Users
	EventRemoved EventType = 3 // From removed Users
	EventLeft    EventType = 4 // From left
	EventRole    EventType = 5 // From gave Users the Role
	EventRenamed EventType = 6 // From named it Title
)

// Event is what a message of KindSystem tells.
type Event struct {
	Type  EventType
	Users []UserID
	Role  Role
	Title string
}
