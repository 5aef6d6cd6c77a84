// Load for NATS JetStream: windows of asynchronous publishes, or ordered consumers.
//
//	natsbench -url URL -stream NAME -mode create | delete
//	natsbench -url URL -stream NAME -mode put -connections N -records WINDOW -size BYTES -seconds S
//	natsbench -url URL -stream NAME -mode get -consumers N -records BATCH (0: continuous) -seconds S
//
// Prints one line of JSON: records, requests (windows or fetches), seconds, p50_ms, p99_ms, cpu (its own), wrong.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	url         = flag.String("url", "", "server")
	stream      = flag.String("stream", "", "stream, also its only subject")
	mode        = flag.String("mode", "", "create, delete, put or get")
	connections = flag.Int("connections", 1, "publishers, a connection each")
	consumers   = flag.Int("consumers", 1, "consumers, a connection each")
	records     = flag.Int("records", 1, "messages in a window (put) or a fetch (get; 0: continuous)")
	size        = flag.Int("size", 200, "bytes of payload")
	seconds     = flag.Float64("seconds", 1, "how long")
)

type result struct {
	Records  int      `json:"records"`
	Requests int      `json:"requests"`
	Seconds  float64  `json:"seconds"`
	P50      float64  `json:"p50_ms"`
	P99      float64  `json:"p99_ms"`
	CPU      float64  `json:"cpu"`
	Messages uint64   `json:"messages"`
	Wrong    []string `json:"wrong"`
}

// part is what one publisher or consumer did.
type part struct {
	records   int
	latencies []time.Duration
	err       error
}

func cpu() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func open(options ...jetstream.JetStreamOpt) (jetstream.JetStream, *nats.Conn, error) {
	conn, err := nats.Connect(*url)
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(conn, options...)
	return js, conn, err
}

func put(deadline time.Time) (p part) {
	js, conn, err := open(jetstream.WithPublishAsyncMaxPending(*records))
	if err != nil {
		return part{err: err}
	}
	defer conn.Close()
	payload := make([]byte, *size)
	_, _ = rand.Read(payload)
	futures := make([]jetstream.PubAckFuture, *records)
	for time.Now().Before(deadline) {
		start := time.Now()
		for i := range futures {
			if futures[i], p.err = js.PublishAsync(*stream, payload); p.err != nil {
				return p
			}
		}
		for _, future := range futures {
			select {
			case <-future.Ok():
			case p.err = <-future.Err():
				return p
			case <-time.After(30 * time.Second):
				p.err = fmt.Errorf("no acknowledgement in 30 s")
				return p
			}
		}
		p.records += *records
		p.latencies = append(p.latencies, time.Since(start))
	}
	return p
}

// get reads the stream from its start to its end, again and again; ordered consumers notice any gap themselves,
// and every message's stream sequence must be one more than the last.
func get(deadline time.Time, total uint64) (p part) {
	js, conn, err := open()
	if err != nil {
		return part{err: err}
	}
	defer conn.Close()
	background := context.Background()
	for time.Now().Before(deadline) {
		consumer, err := js.OrderedConsumer(background, *stream, jetstream.OrderedConsumerConfig{})
		if err != nil {
			p.err = err
			return p
		}
		if *records == 0 {
			p.err = continuous(consumer, &p, deadline, total)
		} else {
			p.err = fetches(consumer, &p, deadline, total)
		}
		if p.err != nil {
			return p
		}
	}
	return p
}

func follows(message jetstream.Msg, last *uint64) error {
	meta, err := message.Metadata()
	if err == nil && meta.Sequence.Stream != *last+1 {
		err = fmt.Errorf("sequence %d after %d", meta.Sequence.Stream, *last)
	}
	*last++
	return err
}

func continuous(consumer jetstream.Consumer, p *part, deadline time.Time, total uint64) error {
	messages, err := consumer.Messages(jetstream.PullMaxMessages(5000))
	if err != nil {
		return err
	}
	defer messages.Stop()
	var last uint64
	for last < total && (last&255 != 0 || time.Now().Before(deadline)) {
		message, err := messages.Next()
		if err != nil {
			return err
		}
		if err := follows(message, &last); err != nil {
			return err
		}
		p.records++
	}
	return nil
}

func fetches(consumer jetstream.Consumer, p *part, deadline time.Time, total uint64) error {
	var last uint64
	for last < total && time.Now().Before(deadline) {
		start := time.Now()
		batch, err := consumer.Fetch(*records)
		if err != nil {
			return err
		}
		for message := range batch.Messages() {
			if err := follows(message, &last); err != nil {
				return err
			}
			p.records++
		}
		if batch.Error() != nil {
			return batch.Error()
		}
		p.latencies = append(p.latencies, time.Since(start))
	}
	return nil
}

func main() {
	flag.Parse()
	background := context.Background()
	js, conn, err := open()
	if err != nil {
		fail(err)
	}
	if *mode == "create" {
		config := jetstream.StreamConfig{Name: *stream, Subjects: []string{*stream}, Storage: jetstream.FileStorage}
		if _, err := js.CreateOrUpdateStream(background, config); err != nil {
			fail(err)
		}
		return
	}
	if *mode == "delete" {
		if err := js.DeleteStream(background, *stream); err != nil {
			fail(err)
		}
		return
	}
	before := count(js)
	workers := *connections
	if *mode == "get" {
		workers = *consumers
	}
	parts := make([]part, workers)
	var group sync.WaitGroup
	spent, start := cpu(), time.Now()
	deadline := start.Add(time.Duration(*seconds * float64(time.Second)))
	for i := range parts {
		group.Add(1)
		go func() {
			defer group.Done()
			if *mode == "put" {
				parts[i] = put(deadline)
			} else {
				parts[i] = get(deadline, before)
			}
		}()
	}
	group.Wait()
	out := result{Seconds: time.Since(start).Seconds(), CPU: cpu() - spent, Wrong: []string{}}
	var latencies []time.Duration
	for _, p := range parts {
		out.Records += p.records
		latencies = append(latencies, p.latencies...)
		if p.err != nil {
			out.Wrong = append(out.Wrong, p.err.Error())
		}
	}
	out.Messages = count(js)
	if *mode == "put" && out.Messages-before != uint64(out.Records) {
		out.Wrong = append(out.Wrong, fmt.Sprintf("%d acknowledged, %d in the stream", out.Records, out.Messages-before))
	}
	out.Requests = len(latencies)
	if len(latencies) > 0 {
		sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
		out.P50 = latencies[len(latencies)/2].Seconds() * 1e3
		out.P99 = latencies[len(latencies)*99/100].Seconds() * 1e3
	}
	conn.Close()
	_ = json.NewEncoder(os.Stdout).Encode(out)
}

func count(js jetstream.JetStream) uint64 {
	found, err := js.Stream(context.Background(), *stream)
	if err != nil {
		fail(err)
	}
	return found.CachedInfo().State.Msgs
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
