package aria2

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

const (
	maxAnswer   = 16 << 20         // bytes of one message from aria2c
	callTimeout = 15 * time.Second // a living aria2c answers in milliseconds
	callTicks   = 15               // in how many parts that is counted
)

// errNoAnswer says that aria2c did not answer in time or the connection broke: it
// is not known whether the call was carried out.
var errNoAnswer = errors.New("aria2c does not answer")

var (
	// errSilent is why a client ends when a call got no answer for callTimeout.
	errSilent = errors.New("it does not answer")
	// errUnreadable says that an answer has another form than expected.
	errUnreadable = errors.New("an answer of aria2c cannot be read")
)

// rpcError is aria2c's error response.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return "aria2c: " + e.Message }

// call is one method with its parameters, without the secret.
type call struct {
	method string
	params []any
}

// client speaks JSON-RPC with one aria2c over one WebSocket. It ends, and stays
// ended, with the first failure of the connection or of the protocol, or a call
// that was not answered in time.
type client struct {
	conn   *websocket.Conn
	secret string
	notify func(method, gid string) // called for each notification; must not block
	done   chan struct{}
	stop   context.CancelFunc // ends the reader

	mu      sync.Mutex
	next    uint64
	waiting map[string]chan answer
	err     error // why it ended
}

// answer is what comes back for a call.
type answer struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"` // of a notification
	Params json.RawMessage `json:"params"` // the same
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

// gid returns the gid that a notification is about, "" if that cannot be read.
func (a *answer) gid() string {
	var about []struct {
		GID string `json:"gid"`
	}
	if json.Unmarshal(a.Params, &about) != nil || len(about) == 0 {
		return ""
	}
	return about[0].GID
}

// dial connects to the aria2c at port of loopback.
func dial(ctx context.Context, port int, secret string, notify func(method, gid string)) (*client, error) {
	return dialURL(ctx, "ws://127.0.0.1:"+strconv.Itoa(port)+"/jsonrpc", secret, notify)
}

func dialURL(ctx context.Context, url, secret string, notify func(method, gid string)) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// A transport of its own: no proxy of the environment, no idle connections.
	transport := &http.Transport{DisableKeepAlives: true}
	conn, resp, err := websocket.Dial(ctx, url,
		&websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		if resp != nil && resp.Body != nil {
			resp.Body.Close()
		}
		return nil, fmt.Errorf("connect to aria2c: %s", download.Clean(err.Error()))
	}
	conn.SetReadLimit(maxAnswer)
	life, stop := context.WithCancel(context.Background())
	c := &client{
		conn: conn, secret: secret, notify: notify,
		done: make(chan struct{}), stop: stop, waiting: map[string]chan answer{},
	}
	go c.read(life)
	return c, nil
}

// read hands out what aria2c sends until the connection ends.
func (c *client) read(life context.Context) {
	for {
		_, data, err := c.conn.Read(life)
		if err != nil {
			c.fail(err)
			return
		}
		var a answer
		if err := json.Unmarshal(data, &a); err != nil {
			c.fail(fmt.Errorf("not JSON-RPC: %w", err))
			return
		}
		if a.Method != "" {
			c.notify(a.Method, a.gid())
			continue
		}
		var id string
		if json.Unmarshal(a.ID, &id) != nil {
			continue // an answer to nothing of ours
		}
		c.mu.Lock()
		ch := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if ch != nil {
			ch <- a // has room for the only answer
		}
	}
}

// fail ends the client; every call under way returns errNoAnswer.
func (c *client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	c.waiting = nil
	close(c.done)
	c.stop()
	go func() { _ = c.conn.CloseNow() }() // may wait for the reader, which may be our caller
}

// cause returns why the client ended.
func (c *client) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// call makes one call and decodes its result into result, if that is not nil.
// The error is an *rpcError, errNoAnswer, or ctx's.
func (c *client) call(ctx context.Context, result any, method string, params ...any) error {
	raw, err := c.send(ctx, method, append([]any{"token:" + c.secret}, params...))
	if err != nil {
		return err
	}
	return decode(raw, result, method)
}

// multicall makes many calls in one message, in order, at one moment of aria2c.
// It returns for each its result or an *rpcError; the third is an error of the
// whole, as of call.
func (c *client) multicall(ctx context.Context, calls []call) ([]json.RawMessage, []error, error) {
	type inner struct {
		Method string `json:"methodName"`
		Params []any  `json:"params"`
	}
	list := make([]inner, len(calls))
	for i, one := range calls {
		list[i] = inner{one.method, append([]any{"token:" + c.secret}, one.params...)}
	}
	raw, err := c.send(ctx, "system.multicall", []any{list}) // itself without the secret
	if err != nil {
		return nil, nil, err
	}
	var answers []json.RawMessage
	if err := decode(raw, &answers, "system.multicall"); err != nil {
		return nil, nil, err
	}
	if len(answers) != len(calls) {
		return nil, nil, fmt.Errorf("%w: %d answers to %d calls", errUnreadable, len(answers), len(calls))
	}
	results, errs := make([]json.RawMessage, len(calls)), make([]error, len(calls))
	for i, a := range answers {
		results[i], errs[i] = innerAnswer(a)
	}
	return results, errs, nil
}

// innerAnswer reads one answer of a multicall: a success is a list of one, an
// error a bare object.
func innerAnswer(raw json.RawMessage) (json.RawMessage, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(list) == 1 {
		return list[0], nil
	}
	e := &rpcError{}
	if json.Unmarshal(raw, e) != nil || e.Message == "" {
		return nil, &rpcError{Message: "an answer in a multicall is neither a result nor an error"}
	}
	return nil, e
}

func decode(raw json.RawMessage, result any, method string) error {
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(raw, result); err != nil {
		return fmt.Errorf("%w: %s: %w", errUnreadable, method, err)
	}
	return nil
}

// send writes a request and waits for its answer.
func (c *client) send(ctx context.Context, method string, params []any) (json.RawMessage, error) {
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, errNoAnswer
	}
	c.next++
	id := strconv.FormatUint(c.next, 10)
	c.waiting[id] = ch
	c.mu.Unlock()

	data, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		c.forget(id)
		return nil, fmt.Errorf("%s: %w", method, err)
	}
	// The time is counted in ticks: while this process or the machine stands still,
	// one tick passes at most, and the answer may be there.
	tick := time.NewTicker(callTimeout / callTicks)
	defer tick.Stop()
	// Not ctx: a caller that gives up in mid-write would cost all the connection. And
	// beside this call: an aria2c that reads nothing must not hold its caller.
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	go func() {
		defer cancel()
		if err := c.conn.Write(writing, websocket.MessageText, data); err != nil {
			c.fail(fmt.Errorf("%s: %w", method, err))
		}
	}()
	for left := callTicks; ; {
		select {
		case a := <-ch:
			if a.Error != nil {
				return nil, a.Error
			}
			return a.Result, nil
		case <-c.done:
			return nil, errNoAnswer
		case <-tick.C:
			if left--; left == 0 {
				c.fail(fmt.Errorf("%s: %w", method, errSilent))
				return nil, errNoAnswer
			}
		case <-ctx.Done():
			c.forget(id)
			return nil, ctx.Err()
		}
	}
}

func (c *client) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}
