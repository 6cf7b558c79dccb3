package sandbox

import "testing"

// How packets belong to writes; F is a full packet and s a short one.
func TestPacketsOfWrites(t *testing.T) {
	for _, c := range []struct {
		packets       string
		writes, later int
		want          string
	}{
		{"s", 1, 0, "s"},
		{"sss", 1, 2, "s"},
		{"ss", 2, 0, "ss"},
		{"", 1, 0, ""},              // told of too early
		{"s", 2, 1, "s"},            // told of twice
		{"FsFs", 2, 2, "Fs"},        // two writes a line
		{"FFs", 3, 0, "FFs"},        // buffers of one page
		{"FFsFFs", 3, 3, "FFs"},     // twice
		{"FFFsFFs", 1, 1, "FFFs"},   // one long write each
		{"FFFFsFFs", 3, 2, "FFFFs"}, // buffers of two pages
		{"FFss", 3, 1, "FFs"},       // buffers of one page, or a long write and one that is lost
		{"FFsss", 3, 1, "FFss"},
		{"FFF", 1, 0, "FFF"},
		{"sFF", 1, 0, "s"},  // the long write goes on
		{"ssss", 1, 0, "s"}, // the others are told of soon
	} {
		var sizes []int
		for _, p := range c.packets {
			sizes = append(sizes, map[rune]int{'F': packet, 's': 7}[p])
		}
		if got := c.packets[:packetsOf(sizes, c.writes, c.later)]; got != c.want {
			t.Errorf("%s: %d writes, and %d later: %s; want %s", c.packets, c.writes, c.later, got, c.want)
		}
	}
}

func TestWritesThatCameTogetherAreToldApartByLines(t *testing.T) {
	for _, c := range []struct {
		text   string
		writes int
		want   int
	}{{"a\nb\n", 2, 2}, {"a\nb\n", 3, 2}, {"a\nb\n", 1, 1}, {"a\nb\nc\n", 2, 1}, {"a\nb", 2, 1}, {"a\nb", 1, 1}} {
		s := stream{buf: []byte(c.text), sizes: []int{len(c.text)}}
		if s.split(c.writes); len(s.sizes) != c.want {
			t.Errorf("%q, %d writes: %v", c.text, c.writes, s.sizes)
		}
	}
	whole := stream{buf: []byte("a\n"), sizes: []int{1, 1}}
	if whole.split(3); len(whole.sizes) != 2 {
		t.Errorf("packets became %v", whole.sizes)
	}
	empty := stream{}
	empty.split(1)
}
