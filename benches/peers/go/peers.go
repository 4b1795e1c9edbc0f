// The operations in Go. Usage: peers OPERATION THREADS COUNT, which prints lines of metric, tab, value, or of an
// exclamation mark, tab, words; or peers serve SERVICE; or peers version.
package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func per(elapsed time.Duration, count int) {
	fmt.Printf("ns\t%f\n", float64(elapsed.Nanoseconds())/float64(count))
}

// A loop that takes longer than this is not done to its end.
const enough = 2 * time.Second

// A limit that no wait here reaches.
const minute = time.Minute

//go:noinline
func yieldDeep(frames int) {
	if frames == 0 {
		runtime.Gosched()
	} else {
		yieldDeep(frames - 1)
	}
}

func yields(n, total int, deep bool) {
	each := total / n
	if each < 10 {
		each = 10
	}
	var began, finished int64
	var start, end time.Time
	var all sync.WaitGroup
	for i := 0; i < n; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if atomic.AddInt64(&began, 1) == int64(n) {
				start = time.Now()
			}
			for atomic.LoadInt64(&began) < int64(n) {
				runtime.Gosched()
			}
			if deep {
				for i := 0; i < each; i++ {
					yieldDeep(3)
				}
			} else {
				for i := 0; i < each; i++ {
					runtime.Gosched()
				}
			}
			if atomic.AddInt64(&finished, 1) == int64(n) {
				end = time.Now()
			}
		}()
	}
	all.Wait()
	per(end.Sub(start), each*n)
}

func spawnOne(count int) {
	start := time.Now()
	i := 0
	for ; i < count && (i%100 != 0 || time.Since(start) < enough); i++ {
		done := make(chan struct{})
		go func() { close(done) }()
		<-done
	}
	per(time.Since(start), i)
}

func spawnAll(n, rounds int) {
	start := time.Now()
	r := 0
	for ; r < rounds && time.Since(start) < enough; r++ {
		var all sync.WaitGroup
		all.Add(n)
		for i := 0; i < n; i++ {
			go all.Done()
		}
		all.Wait()
	}
	per(time.Since(start), n*r)
}

// As in blocking.rs: each waits by itself, one wakes them in turn and waits until all have been awake.
func wake(n, rounds int, limited bool) {
	var round, awake atomic.Int64
	bells := make([]chan struct{}, n)
	last := make(chan struct{}, 1)
	var all sync.WaitGroup
	for i := range bells {
		bell := make(chan struct{}, 1)
		bells[i] = bell
		all.Add(1)
		go func() {
			defer all.Done()
			for r := int64(1); r <= int64(rounds)+1; r++ {
				for round.Load() < r {
					if limited {
						timer := time.NewTimer(minute)
						select {
						case <-bell:
						case <-timer.C:
						}
						timer.Stop()
					} else {
						<-bell
					}
				}
				if awake.Add(1) == r*int64(n) {
					last <- struct{}{}
				}
			}
		}()
	}
	start := time.Now()
	for r := 1; r <= rounds+1; r++ {
		round.Store(int64(r))
		for _, bell := range bells {
			select {
			case bell <- struct{}{}:
			default:
			}
		}
		<-last
		if r == 1 {
			start = time.Now()
		}
	}
	per(time.Since(start), n*rounds)
	all.Wait()
}

func pingPong(count int, across bool) {
	to, back := make(chan uint64, 1), make(chan uint64, 1)
	go func() {
		if across {
			runtime.LockOSThread()
		}
		for v := range to {
			back <- v
		}
	}()
	if across {
		runtime.LockOSThread()
	}
	start := time.Now()
	for i := -count / 10; i < count; i++ {
		if i == 0 {
			start = time.Now()
		}
		to <- uint64(i)
		<-back
	}
	per(time.Since(start), count)
	close(to)
}

func manyToMany(producers, consumers, capacity, each int) {
	ch := make(chan uint64, capacity)
	start := time.Now()
	var sending, receiving sync.WaitGroup
	for i := 0; i < producers; i++ {
		sending.Add(1)
		go func() {
			defer sending.Done()
			for i := 0; i < each; i++ {
				ch <- uint64(i)
			}
		}()
	}
	for i := 0; i < consumers; i++ {
		receiving.Add(1)
		go func() {
			defer receiving.Done()
			for range ch {
			}
		}()
	}
	sending.Wait()
	close(ch)
	receiving.Wait()
	per(time.Since(start), producers*each)
}

func mutex(n, each int) {
	var m sync.Mutex
	var all sync.WaitGroup
	sum := 0
	start := time.Now()
	for i := 0; i < n; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := 0; i < each; i++ {
				m.Lock()
				sum++
				m.Unlock()
			}
		}()
	}
	all.Wait()
	per(time.Since(start), n*each)
}

func rwlock(n, each int) {
	var m sync.RWMutex
	var all sync.WaitGroup
	sum := 0
	start := time.Now()
	for i := 0; i < n; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			local := 0
			for i := 0; i < each; i++ {
				if i%10 == 0 {
					m.Lock()
					sum++
					m.Unlock()
				} else {
					m.RLock()
					local += sum
					m.RUnlock()
				}
			}
			runtime.KeepAlive(local)
		}()
	}
	all.Wait()
	per(time.Since(start), n*each)
}

func memory() (resident, tables float64) {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 {
			value, _ := strconv.ParseFloat(fields[1], 64)
			switch fields[0] {
			case "VmRSS:":
				resident = value * 1024
			case "VmPTE:":
				tables = value * 1024
			}
		}
	}
	return
}

func parked(n int) {
	r0, t0 := memory()
	gate := make(chan struct{})
	var waiting int64
	var all sync.WaitGroup
	start := time.Now()
	for i := 0; i < n; i++ {
		all.Add(1)
		go func() {
			atomic.AddInt64(&waiting, 1)
			<-gate
			all.Done()
		}()
	}
	for atomic.LoadInt64(&waiting) < int64(n) {
		time.Sleep(time.Millisecond)
	}
	spawned := time.Since(start)
	r1, t1 := memory()
	start = time.Now()
	close(gate)
	all.Wait()
	fmt.Printf("bytes each\t%f\npage-table bytes each\t%f\nspawn ms\t%f\nwake and join ms\t%f\n",
		(r1-r0)/float64(n), (t1-t0)/float64(n), spawned.Seconds()*1e3, time.Since(start).Seconds()*1e3)
}

func cpu() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
}

func timers(n int) {
	before := cpu()
	late := make([]float64, n)
	var all sync.WaitGroup
	for i := 0; i < n; i++ {
		wait := time.Duration(200_000+uint64(i)*7_919_773%1_000_000) * time.Microsecond
		all.Add(1)
		go func(i int) {
			defer all.Done()
			due := time.Now().Add(wait)
			time.Sleep(wait)
			late[i] = float64(time.Since(due).Microseconds())
		}(i)
	}
	all.Wait()
	used := cpu() - before
	sort.Float64s(late)
	fmt.Printf("CPU ms\t%f\nlate p50 µs\t%f\nlate p99 µs\t%f\nlate max µs\t%f\n", used, late[(n-1)/2], late[(n-1)*99/100], late[n-1])
}

func skynet(first, leaves int, out chan int) {
	if leaves == 1 {
		out <- first
		return
	}
	each := leaves / 10
	children := make(chan int, 10)
	for i := 0; i < 10; i++ {
		go skynet(first+i*each, each, children)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-children
	}
	out <- sum
}

func chain(links, rounds int) {
	first := make(chan uint64, 1)
	last := first
	for i := 0; i < links; i++ {
		before, after := last, make(chan uint64, 1)
		last = after
		go func() {
			for v := range before {
				after <- v + 1
			}
			close(after)
		}()
	}
	first <- 0
	<-last
	start := time.Now()
	for i := 0; i < rounds; i++ {
		first <- 0
		<-last
	}
	per(time.Since(start), links*rounds)
	close(first)
}

func serve(service string) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	fmt.Println(listener.Addr())
	hello := []byte("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!")
	for {
		stream, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer stream.Close()
			buffer := make([]byte, 4096)
			for {
				if service == "limited" {
					stream.SetReadDeadline(time.Now().Add(time.Minute))
				}
				count, err := stream.Read(buffer)
				if err != nil {
					return
				}
				answer := buffer[:count]
				if service == "http" {
					answer = nil
					if bytes.HasSuffix(buffer[:count], []byte("\r\n\r\n")) {
						answer = hello
					}
				}
				if _, err := stream.Write(answer); err != nil {
					return
				}
			}
		}()
	}
}

//go:noinline
func turns(count int) {
	number := uint64(1)
	for i := 0; i < count; i++ {
		number = number*6364136223846793005 + 1
	}
	if number == 0 {
		panic("an odd number")
	}
}

var turnsPerMs int

// Computes for so long on a quiet machine: a count of turns, because a clock would also count what others compute.
func compute(length time.Duration) {
	if turnsPerMs == 0 {
		best := time.Hour
		for i := 0; i < 5; i++ {
			start := time.Now()
			turns(1000000)
			if took := time.Since(start); took < best {
				best = took
			}
		}
		turnsPerMs = int(int64(1000000) * int64(time.Millisecond) / int64(best))
	}
	turns(int(int64(turnsPerMs) * int64(length) / int64(time.Millisecond)))
}

func millis(elapsed time.Duration) {
	fmt.Printf("ms\t%f\n", elapsed.Seconds()*1e3)
}

const nap = 10 * time.Millisecond

func pool() {
	compute(0)
	const count = 80
	jobs, done := make(chan int, count), make(chan int, count)
	for i := 0; i < 8; i++ {
		go func() {
			for job := range jobs {
				compute(5 * time.Millisecond)
				done <- job
			}
		}()
	}
	time.Sleep(nap)
	start := time.Now()
	for i := 0; i < count; i++ {
		jobs <- i
	}
	for i := 0; i < count; i++ {
		<-done
	}
	millis(time.Since(start))
	close(jobs)
}

func meeting() {
	compute(0)
	var all sync.WaitGroup
	gate := make(chan int)
	for i := 0; i < 10; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			<-gate
			compute(20 * time.Millisecond)
		}()
	}
	time.Sleep(nap)
	start := time.Now()
	close(gate)
	all.Wait()
	millis(time.Since(start))
}

func forkJoin(each time.Duration, count int) {
	compute(0)
	start := time.Now()
	for i := 0; i < count; i++ {
		var all sync.WaitGroup
		for j := 0; j < 8; j++ {
			all.Add(1)
			go func() {
				defer all.Done()
				compute(each)
			}()
		}
		all.Wait()
	}
	per(time.Since(start), count)
}

func besideHog() {
	compute(0)
	done := make(chan int)
	go func() {
		compute(200 * time.Millisecond)
		close(done)
	}()
	start := time.Now()
	time.Sleep(nap)
	late := time.Since(start) - nap
	<-done
	millis(late)
}

func main() {
	operation := os.Args[1]
	switch operation {
	case "serve":
		serve(os.Args[2])
		return
	case "version":
		fmt.Println("Go", strings.TrimPrefix(runtime.Version(), "go"))
		return
	}
	n, _ := strconv.Atoi(os.Args[2])
	count, _ := strconv.Atoi(os.Args[3])
	switch operation {
	case "yield":
		yields(n, count, false)
	case "yield-deep":
		yields(n, count, true)
	case "spawn-one":
		spawnOne(count)
	case "spawn-all":
		spawnAll(n, count)
	case "wake":
		wake(n, count, false)
	case "timer":
		wake(n, count, true)
	case "ping-pong":
		pingPong(count, false)
	case "ping-pong-across":
		pingPong(count, true)
	case "mpmc":
		manyToMany(4, 4, 128, count)
	case "mpsc":
		fmt.Println("!\tits channels all have a capacity")
	case "mutex":
		mutex(8, count)
	case "rwlock":
		rwlock(8, count)
	case "parked":
		parked(n)
	case "timers":
		timers(n)
	case "skynet":
		out := make(chan int, 1)
		start := time.Now()
		skynet(0, n, out)
		if <-out != n*(n-1)/2 {
			panic("the sum is wrong")
		}
		per(time.Since(start), n*10/9)
	case "chain":
		chain(n, count)
	case "pool":
		pool()
	case "meeting":
		meeting()
	case "fork-join":
		forkJoin(time.Duration(n), count)
	case "beside-hog":
		besideHog()
	default:
		os.Exit(3)
	}
}
