package main

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
)

// Field is one field of a key. Types: uint64 and [8n]byte (a word of the slot each 8 bytes, at most ten words in all);
// uint32, uint16 and uint8 (packed into one tail word, at most 63 bits in all; a key needs at least one of them or a dimension of 0).
type Field struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Variant is one map to generate.
type Variant struct {
	Name       string  `json:"name"`       // Name, NameKey, NameCounter and NewName are generated; exported
	Package    string  `json:"package"`    // package of the generated file
	Doc        string  `json:"doc"`        // completes "NameKey is …"
	Fields     []Field `json:"fields"`     // of the key, in order
	Dimension  string  `json:"dimension"`  // the uint8 field by which Totals adds up; empty: none
	StreamBits int     `json:"streamBits"` // of the number that Insert keeps with a row; 1 to 32
}

// Variants is the table of the maps of package shardmap. A slot is a power of two of words: the key's words, the tail,
// the stream (in the tail where it fits) and the tag. So Wide has one row a cache line and Compact two.
var Variants = []Variant{
	{
		Name: "Wide", Package: "shardmap", Doc: "the key of the Recorder: 128-bit tenant and subject. A row a cache line.",
		Fields:    []Field{{"Tenant", "[16]byte"}, {"Subject", "[16]byte"}, {"Namespace", "uint32"}, {"Dimension", "uint8"}},
		Dimension: "Dimension", StreamBits: 32,
	},
	{
		Name: "Compact", Package: "shardmap", Doc: "a key with 64-bit tenant and subject. Two rows a cache line.",
		Fields:    []Field{{"Tenant", "uint64"}, {"Subject", "uint64"}, {"Namespace", "uint32"}, {"Dimension", "uint8"}},
		Dimension: "Dimension", StreamBits: 24,
	},
}

// parse reads a layout file: one Variant in JSON, no unknown field.
func parse(text []byte) (v Variant, err error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("layout: %w", err)
	}
	return v, nil
}

// layout is what the template needs of a Variant.
type layout struct {
	Variant
	Lower                          string
	Load, Store                    []string // how key k gives word i; how word p[i] goes back
	Tail, TailStore                string
	N                              int // full words; the tail is word N
	Words, StreamWord, StreamShift int
	DimWord, DimShift              int
	Hash                           []string // statements that leave x and y
	Args, Match, Zip               string
	Asm                            asm
}

// asm is what the assembly of the direct path needs beyond that.
type asm struct {
	Words     []string // operands of the key's full words; Reg names their registers
	Reg       []string
	Tail      []tailPart
	SlotShift int
	Even      bool // the last multiplication takes two words
}

// tailPart is a field of the tail word: how it is loaded, from where, and where its bits go.
type tailPart struct {
	Load, From string
	Shift      int
}

// asmWords is how many full words the registers hold: longer keys go without the direct path.
const asmWords = 4

func plan(v Variant) (l layout, err error) {
	l = layout{Variant: v, DimWord: -1}
	if v.Name == "" || strings.ToUpper(v.Name[:1]) != v.Name[:1] || v.Package == "" || v.StreamBits < 1 || v.StreamBits > 32 {
		return l, fmt.Errorf("layout %q: want an exported name, a package and 1 to 32 stream bits", v.Name)
	}
	l.Lower = strings.ToLower(v.Name[:1]) + v.Name[1:]
	var tail, tailStore []string
	shift, dimShift := 0, -1
	for _, f := range v.Fields {
		var size int
		switch {
		case f.Type == "uint64":
			l.Load = append(l.Load, "k."+f.Name)
			l.Asm.Words = append(l.Asm.Words, fmt.Sprintf("%sKey_%s(SI)", v.Name, f.Name))
			l.Store = append(l.Store, fmt.Sprintf("k.%s = p[%d]", f.Name, len(l.Store)))
			continue
		case f.Type == "uint32" || f.Type == "uint16" || f.Type == "uint8":
			fmt.Sscanf(f.Type, "uint%d", &size)
			l.Asm.Tail = append(l.Asm.Tail, tailPart{map[int]string{32: "MOVL   ", 16: "MOVWLZX", 8: "MOVBLZX"}[size], fmt.Sprintf("%sKey_%s(SI)", v.Name, f.Name), shift})
			if f.Name == v.Dimension && size == 8 {
				dimShift = shift
			}
			tail = append(tail, fmt.Sprintf("uint64(k.%s)<<%d", f.Name, shift))
			tailStore = append(tailStore, fmt.Sprintf("k.%s = %s(p[%%d] >> %d)", f.Name, f.Type, shift))
			shift += size
			continue
		}
		if n, _ := fmt.Sscanf(f.Type, "[%d]byte", &size); n != 1 || size%8 != 0 || size == 0 {
			return l, fmt.Errorf("layout %s: field %s: type %q is not one of uint64, [8n]byte, uint32, uint16, uint8", v.Name, f.Name, f.Type)
		}
		for o := 0; o < size; o += 8 {
			l.Asm.Words = append(l.Asm.Words, fmt.Sprintf("%sKey_%s+%d(SI)", v.Name, f.Name, o))
			l.Load = append(l.Load, fmt.Sprintf("binary.LittleEndian.Uint64(k.%s[%d:%d])", f.Name, o, o+8))
			l.Store = append(l.Store, fmt.Sprintf("binary.LittleEndian.PutUint64(k.%s[%d:%d], p[%d])", f.Name, o, o+8, len(l.Store)))
		}
	}
	l.N = len(l.Load)
	if l.N < 1 || l.N > 10 || shift > 63 || v.Dimension != "" && dimShift < 0 {
		return l, fmt.Errorf("layout %s: want 1 to 10 words, at most 63 bits beside them, and a dimension that is a uint8 field", v.Name)
	}
	if tail == nil {
		tail = []string{"uint64(0)"}
	}
	l.Tail = strings.Join(tail, " | ")
	for _, s := range tailStore {
		l.TailStore += fmt.Sprintf(s, l.N) + "\n"
	}
	l.StreamWord, l.StreamShift = l.N, shift
	used := l.N + 1
	if shift+v.StreamBits > 64 {
		l.StreamWord, l.StreamShift, used = l.N+1, 0, l.N+2
	}
	for l.Words = 4; l.Words < used+1; l.Words *= 2 {
	}
	if dimShift >= 0 {
		l.DimWord, l.DimShift = l.N, dimShift
	}
	var args, match, zip []string
	for i := range l.N {
		args = append(args, fmt.Sprintf("w%d", i))
		match = append(match, fmt.Sprintf("s[%d] == w%d", i, i))
		zip = append(zip, fmt.Sprintf("p[%d]", i))
	}
	l.Args, l.Match, l.Zip = strings.Join(args, ", "), strings.Join(match, " && "), strings.Join(zip, ", ")
	// Two words a multiplication; the last one also takes in the tail, by an odd secret factor.
	l.Hash = append(l.Hash, "x := sd[0]")
	word := func(i int) string {
		if i < l.N {
			return fmt.Sprintf("w%d", i)
		}
		return "0"
	}
	for i := 0; i+2 < l.N; i += 2 {
		key := []string{"sd[1]", "sd[4]", "sd[5]"}[i/2%3]
		l.Hash = append(l.Hash, fmt.Sprintf("%s bits.Mul64(x^w%d, %s^%s)", []string{"hi, lo :=", "hi, lo ="}[min(i, 1)], i, word(i+1), key), "x = hi ^ lo")
	}
	last := (l.N - 1) &^ 1
	l.Hash = append(l.Hash, fmt.Sprintf("x ^= w%d", last), fmt.Sprintf("y := %s ^ sd[2] + tail*sd[3]", word(last+1)))
	if l.N > 2 {
		l.Hash = append(l.Hash, "hi, lo = bits.Mul64(x, y)")
	} else {
		l.Hash = append(l.Hash, "hi, lo := bits.Mul64(x, y)")
	}
	l.Asm.SlotShift, l.Asm.Even = bits.TrailingZeros(uint(l.Words))+3, l.N%2 == 0
	for i := range min(l.N, asmWords) {
		l.Asm.Reg = append(l.Asm.Reg, fmt.Sprintf("R%d", 8+i))
	}
	return l, nil
}
