package pty

import (
	"io"
	"os"
	"runtime"
	"testing"
)

// The master must see no hang-up between two clients of the line, even after
// a collection.
func TestMasterSurvivesItsClients(t *testing.T) {
	master, path, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	for range 3 {
		client, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.WriteString("a\rb\n\x03"); err != nil {
			t.Fatal(err)
		}
		client.Close()
		runtime.GC()
		b := make([]byte, 5)
		if _, err := io.ReadFull(master, b); err != nil || string(b) != "a\rb\n\x03" {
			t.Fatalf("master read %q, %v", b, err)
		}
	}
}

func TestNothingIsEchoed(t *testing.T) {
	master, path, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	client, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	master.WriteString("to the client\r")
	b := make([]byte, len("to the client\r"))
	if _, err := io.ReadFull(client, b); err != nil || string(b) != "to the client\r" {
		t.Fatalf("client read %q, %v", b, err)
	}
	client.WriteString("!")
	b = make([]byte, 64)
	if n, err := master.Read(b); err != nil || string(b[:n]) != "!" {
		t.Fatalf("master read %q, %v; an echo?", b[:n], err)
	}
}
