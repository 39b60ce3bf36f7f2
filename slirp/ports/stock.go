package ports

import "golang.org/x/sys/unix"

// stockSize is how many sockets of a family are ready, at most.
const stockSize = 16

// stock are TCP sockets of the switch that are made before somebody needs them: to
// have one made takes two changes of threads while a client waits.
type stock struct {
	family int
	ready  chan int
	low    chan struct{} // the thread in the switch has to fill it up
}

func newStock(family int) *stock {
	return &stock{family, make(chan int, stockSize), make(chan struct{}, 1)}
}

// take is false where there is none left, or none yet: it is filled when the first
// one is asked for.
func (s *stock) take() (fd int, ok bool) {
	select {
	case fd = <-s.ready:
		ok = true
	default:
	}
	if len(s.ready) < stockSize/4 {
		select {
		case s.low <- struct{}{}:
		default: // somebody has said so
		}
	}
	return fd, ok
}

// fill runs on the thread in the switch. Without descriptors it is for those to
// complain who need one at once.
func (s *stock) fill() {
	for len(s.ready) < stockSize {
		fd, err := newSocket(s.family, unix.SOCK_STREAM)
		if err != nil {
			return
		}
		s.ready <- fd
	}
}
