// Receives webhooks: verifies, drops what came before, answers at once, works afterwards.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	bodyBytesMax     = 2 << 20
	idsRememberedMax = 100_000
)

type job struct {
	id   string
	body []byte
}

// seen remembers the last ids, in the order in which they came.
type seen struct {
	mutex sync.Mutex
	ids   map[string]struct{}
	order []string
}

func (s *seen) isNew(id string) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if _, there := s.ids[id]; there {
		return false
	}
	s.ids[id] = struct{}{}
	s.order = append(s.order, id)
	if len(s.order) > idsRememberedMax {
		delete(s.ids, s.order[0])
		s.order = s.order[1:]
	}
	return true
}

// work is what the webhook is for. It may take its time: the answer has been given.
func work(jobs <-chan job) {
	for j := range jobs {
		fmt.Println("new", j.id, string(j.body))
	}
}

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" {
		log.Fatal("set WEBHOOK_SECRET to the secret of the endpoint (whsec_…)")
	}
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		log.Fatal(err)
	}
	port := os.Getenv("PORT")
	if port == "" {
		port = "9000"
	}

	jobs := make(chan job, 1000)
	go work(jobs)
	remembered := &seen{ids: map[string]struct{}{}}

	handler := func(writer http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(writer, request.Body, bodyBytesMax))
		if err != nil {
			http.Error(writer, "body too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err := webhook.Verify(body, request.Header); err != nil {
			fmt.Println("refused", err)
			http.Error(writer, "bad signature", http.StatusUnauthorized)
			return
		}
		id := request.Header.Get("webhook-id")
		if remembered.isNew(id) {
			jobs <- job{id, body}
		} else {
			fmt.Println("again", id)
		}
		writer.WriteHeader(http.StatusNoContent)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s/\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(handler)))
}
