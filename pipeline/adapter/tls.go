package adapter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Certificates are the server's certificate and, for mTLS, the authorities of its clients, read from files. Reload reads them again:
// connections that are open keep what they were made with, new ones get the new. Safe for concurrent use.
type Certificates struct {
	cert, key, clientCA string
	now                 atomic.Pointer[tls.Config]
}

// LoadCertificates reads a PEM certificate chain and its key; clientCA, where not empty, makes every client show a
// certificate that one of the authorities in it has signed.
func LoadCertificates(cert, key, clientCA string) (*Certificates, error) {
	c := &Certificates{cert: cert, key: key, clientCA: clientCA}
	return c, c.Reload()
}

// Reload reads the files again. After an error what was read before stays in force.
func (c *Certificates) Reload() error {
	use, err := c.Read()
	if err == nil {
		use()
	}
	return err
}

// Read reads and checks the files and changes nothing: use, where err is nil, puts what was read in force.
func (c *Certificates) Read() (use func(), err error) {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("accounting/adapter: certificate: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if c.clientCA != "" {
		pem, err := os.ReadFile(c.clientCA)
		if err != nil {
			return nil, fmt.Errorf("accounting/adapter: client authorities: %w", err)
		}
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("accounting/adapter: client authorities: %s: %w", c.clientCA, errors.New("got no PEM certificate"))
		}
		conf.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return func() { c.now.Store(conf) }, nil
}

// config is what a listener uses: each handshake takes what is in force then.
func (c *Certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.now.Load(), nil }}
}
