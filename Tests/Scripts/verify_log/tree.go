package main

import (
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

// bad is a verdict against the log, with the record to blame, or -1.
type bad struct {
	file   string
	record int64
	reason string
}

func (b *bad) Error() string { return b.file + ": " + b.reason }

// hashes of the tree by their index in storage: all of level 8 and above, below only those of the last 256 records.
type hashes struct {
	low, high map[int64]tlog.Hash
}

func (h *hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var found []tlog.Hash
	for _, index := range indexes {
		hash, ok := h.high[index]
		if !ok {
			if hash, ok = h.low[index]; !ok {
				return nil, errors.New("hash is missing")
			}
		}
		found = append(found, hash)
	}
	return found, nil
}

func (h *hashes) add(number int64, leaf tlog.Hash) error {
	stored, err := tlog.StoredHashesForRecordHash(number, leaf, h)
	if err != nil {
		return err
	}
	begin := tlog.StoredHashIndex(0, number)
	for offset, hash := range stored {
		if offset >= 8 {
			h.high[begin+int64(offset)] = hash
		} else {
			h.low[begin+int64(offset)] = hash
		}
	}
	if number%256 == 255 {
		// What is complete is in level 8.
		h.low = map[int64]tlog.Hash{}
	}
	return nil
}

// addSubtree appends a perfect subtree whose hashes below are not known.
func (h *hashes) addSubtree(level int, index int64, hash tlog.Hash) error {
	h.high[tlog.StoredHashIndex(level, index)] = hash
	for index&1 == 1 {
		left, err := h.ReadHashes([]int64{tlog.StoredHashIndex(level, index-1)})
		if err != nil {
			return err
		}
		hash = tlog.NodeHash(left[0], hash)
		level, index = level+1, index>>1
		h.high[tlog.StoredHashIndex(level, index)] = hash
	}
	return nil
}
