package files

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/internal/dirs"
)

// Hashes is what is known about the content of files, so that one that has not changed
// need not be read again. A file is told by its file system and inode, and taken for
// unchanged if its size and both of its times are the same: the time of the last change
// of the inode cannot be set by anybody. Times have a granularity: what was changed just
// before it was read is not remembered.
//
// It is a file of records, sorted by inode, that is replaced as a whole; one that is
// damaged is taken for empty.
type Hashes struct {
	path string

	mu    sync.Mutex
	known []byte // records
	used  []uint64
	fresh map[[keySize]byte]record
}

const (
	hashesMagic  = "sbx-hashes-1\n"
	keySize      = 16 // device, inode
	recordSize   = keySize + 3*8 + 32 + 4
	mostRecords  = 400_000
	granularity  = 2 * time.Second // of the times of any file system: FAT's
	largestStore = len(hashesMagic) + mostRecords*recordSize + 4
)

type record [recordSize]byte

// recordOf is the record of a file without what comes behind the times.
func recordOf(st *unix.Stat_t) (r record) {
	be := binary.BigEndian
	be.PutUint64(r[0:], uint64(st.Dev))
	be.PutUint64(r[8:], st.Ino)
	be.PutUint64(r[16:], uint64(st.Size))
	be.PutUint64(r[24:], uint64(st.Mtim.Nano()))
	be.PutUint64(r[32:], uint64(st.Ctim.Nano()))
	return r
}

func (r *record) sum() []byte { return r[40:72] }

// today is the day that a record was used, as it is kept.
func today() uint32 { return uint32(time.Now().Unix() / (24 * 60 * 60)) }

func (r *record) setDay(day uint32) { binary.BigEndian.PutUint32(r[72:], day) }

// OpenHashes reads what was saved at a path.
func OpenHashes(path string) *Hashes {
	h := &Hashes{path: path, fresh: map[[keySize]byte]record{}}
	data, err := os.ReadFile(path)
	if err != nil || len(data) > largestStore || len(data) < len(hashesMagic)+4 {
		return h
	}
	body, sum := data[:len(data)-4], data[len(data)-4:]
	if !bytes.HasPrefix(body, []byte(hashesMagic)) || checksum(body) != binary.BigEndian.Uint32(sum) {
		return h
	}
	body = body[len(hashesMagic):]
	if len(body)%recordSize != 0 {
		return h
	}
	h.known = body
	h.used = make([]uint64, len(body)/recordSize/64+1)
	return h
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (h *Hashes) count() int { return len(h.known) / recordSize }

func (h *Hashes) at(i int) []byte { return h.known[i*recordSize : (i+1)*recordSize] }

// lookup gives the hash of a file that is as it was.
func (h *Hashes) lookup(st *unix.Stat_t) (sum [32]byte, ok bool) {
	if h == nil {
		return sum, false
	}
	r := recordOf(st)
	h.mu.Lock()
	defer h.mu.Unlock()
	if known, ok := h.fresh[[keySize]byte(r[:keySize])]; ok {
		return [32]byte(known.sum()), bytes.Equal(known[:40], r[:40])
	}
	low, high := 0, h.count()
	for low < high {
		mid := (low + high) / 2
		switch bytes.Compare(h.at(mid)[:keySize], r[:keySize]) {
		case -1:
			low = mid + 1
		case 1:
			high = mid
		default:
			known := h.at(mid)
			if !bytes.Equal(known[:40], r[:40]) {
				return sum, false
			}
			h.used[mid/64] |= 1 << (mid % 64)
			return [32]byte(known[40:72]), true
		}
	}
	return sum, false
}

// remember keeps a hash that was made of a file that was like this, since the given
// time and up to now.
func (h *Hashes) remember(st *unix.Stat_t, since time.Time, sum [32]byte) {
	newest := max(st.Mtim.Nano(), st.Ctim.Nano())
	if h == nil || newest > since.Add(-granularity).UnixNano() {
		return
	}
	r := recordOf(st)
	copy(r.sum(), sum[:])
	r.setDay(today())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fresh[[keySize]byte(r[:keySize])] = r
}

// Save writes what was learned. Of too many records those go that were not used for
// the longest time. Whoever saves last wins: what another one has learned is learned
// again.
func (h *Hashes) Save() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.fresh) == 0 {
		return nil
	}
	all := h.merged()
	data := make([]byte, 0, len(hashesMagic)+len(all)*recordSize+4)
	data = append(data, hashesMagic...)
	for i := range all {
		data = append(data, all[i][:]...)
	}
	data = binary.BigEndian.AppendUint32(data, checksum(data))
	return replaceFile(h.path, data)
}

// merged are all records to be kept, sorted by inode.
func (h *Hashes) merged() []record {
	all := make([]record, 0, h.count()+len(h.fresh))
	for i := range h.count() {
		r := record(h.at(i))
		if _, newer := h.fresh[[keySize]byte(r[:keySize])]; newer {
			continue
		}
		if h.used[i/64]&(1<<(i%64)) != 0 {
			r.setDay(today())
		}
		all = append(all, r)
	}
	for _, r := range h.fresh {
		all = append(all, r)
	}
	if len(all) > mostRecords {
		slices.SortFunc(all, func(a, b record) int { return bytes.Compare(b[72:], a[72:]) })
		all = all[:mostRecords]
	}
	slices.SortFunc(all, func(a, b record) int { return bytes.Compare(a[:keySize], b[:keySize]) })
	return all
}

// saving is held while a file is written: there is one process that does it.
var saving sync.Mutex

// replaceFile writes a file under another name and renames it: a reader finds the old
// or the new one.
func replaceFile(path string, data []byte) error {
	saving.Lock()
	defer saving.Unlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return dirs.DiskError("mkdir", filepath.Dir(path), err)
	}
	tmp := path + ".new"
	err := os.WriteFile(tmp, data, 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the error is the one to tell
		return dirs.DiskError("write", path, err)
	}
	return nil
}
