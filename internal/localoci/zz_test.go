package localoci

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

func TestZZ(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Buckets: Buckets{"p", "r", "s"}, Log: slog.Default(), Invoke: func(context.Context, Invocation) (Answer, error) { return Answer{}, nil }}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(cfg)
	fmt.Println("locked:", err)
	s.Close()
	good, _ := os.ReadFile(filepath.Join(dir, "index.db"))
	fmt.Println(len(good))
	bad := map[string][]byte{"empty": {}, "garbage": []byte("hello"), "garbage8k": make([]byte, 8192)}
	for _, n := range []int{4096, 8192, 8193, 12288, 16384, 20480} {
		bad[fmt.Sprint("cut", n)] = good[:min(n, len(good))]
	}
	for off := 0; off < len(good) && off < 40000; off += 4096 {
		b := append([]byte(nil), good...)
		for i := off; i < off+4096; i++ {
			b[i] = 0xff
		}
		bad[fmt.Sprint("ff", off)] = b
		c := append([]byte(nil), good...)
		for i := off + 16; i < off+4096; i++ {
			c[i] = 0
		}
		bad[fmt.Sprint("zero", off)] = c
	}
	for name, b := range bad {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					fmt.Println(name, "PANIC", p)
				}
			}()
			os.WriteFile(filepath.Join(dir, "index.db"), b, 0o600)
			s, err := Open(cfg)
			fmt.Println(name, err)
			if err == nil {
				s.Close()
			}
		})
	}
}
