// Package conserve proves conservation from the outside: it reads the sealed slices that a ledger holds, adds up the
// units of every key, walks every chain, and compares the sums with what the load generator counted.
//
// It shares no code with the recorder, the encoder or the ledger: slices are read by a general CBOR library, digests
// are computed by zeebo/blake3, ledger files are walked as plain bbolt files. A fault in our own encoder, kernels or
// ledger therefore can't hide itself here.
package conserve
