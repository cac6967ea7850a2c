package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// files of a log by their path in it, read when asked for, or held.
type files struct {
	folder string
	names  []string
	held   map[string][]byte
}

func (f *files) read(name string) ([]byte, error) {
	if data, ok := f.held[name]; ok {
		return data, nil
	}
	return os.ReadFile(filepath.Join(f.folder, name))
}

func list(folder string) (*files, error) {
	found := &files{folder: folder, held: map[string][]byte{}}
	for _, part := range []string{"log.vkey", "checkpoint", "epochs", "seg", "tree"} {
		err := filepath.WalkDir(filepath.Join(folder, part), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".new") {
				name, _ := filepath.Rel(folder, path)
				found.names = append(found.names, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	sort.Strings(found.names)
	return found, nil
}

var segmentName = regexp.MustCompile(`^seg/[0-9]{4}/[0-9]{2}/[0-9]{2}/([0-9]{12,})\.(jsonl|jsonl\.zst|seal)$`)
var lineStart = regexp.MustCompile(`^\{"_p":"([A-Za-z0-9+/]{43}=)","_s":(0|[1-9][0-9]*),"_t":"`)

type segment struct {
	first      int64
	data, seal string
}

func (l *log) segments() ([]*segment, error) {
	found := map[int64]*segment{}
	for _, name := range l.files.names {
		if !strings.HasPrefix(name, "seg/") {
			continue
		}
		match := segmentName.FindStringSubmatch(name)
		if match == nil {
			return nil, &bad{name, -1, "not a file of the log"}
		}
		first, err := strconv.ParseInt(match[1], 10, 64)
		if err != nil || fmt.Sprintf("%012d", first) != match[1] {
			return nil, &bad{name, -1, "not a number"}
		}
		entry := found[first]
		if entry == nil {
			entry = &segment{first: first}
			found[first] = entry
		}
		place := &entry.data
		if match[2] == "seal" {
			place = &entry.seal
		}
		if *place != "" {
			return nil, &bad{name, -1, "two segments with one number"}
		}
		*place = name
	}
	var sorted []*segment
	for _, entry := range found {
		sorted = append(sorted, entry)
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a].first < sorted[b].first })
	for index, entry := range sorted {
		if entry.data == "" {
			return nil, &bad{entry.seal, entry.first, "a seal without its segment"}
		}
		if entry.seal == "" && index < len(sorted)-1 {
			return nil, &bad{entry.data, -1, "the seal is missing"}
		}
	}
	if len(sorted) == 0 {
		return nil, &bad{"seg", 0, "there is no segment"}
	}
	return sorted, nil
}

func (l *log) content(name string) ([]byte, error) {
	if !strings.HasSuffix(name, ".zst") {
		return l.files.read(name)
	}
	data, err := l.files.read(name)
	if err != nil {
		return nil, err
	}
	command := exec.Command("zstd", "-dc")
	command.Stdin = bytes.NewReader(data)
	return command.Output()
}
