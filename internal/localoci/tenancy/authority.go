package tenancy

import (
	"crypto"
	"crypto/md5" // #nosec G501 -- OCI's fingerprint of a key is its MD5
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Authority knows one person and issues the session tokens of the functions. Its keys are in the state folder, where
// only the folder's owner can read them.
type Authority struct {
	dir         string
	person      *rsa.PrivateKey
	issuer      *rsa.PrivateKey
	fingerprint string
}

// Open opens the keys in a folder; the first time it creates them and the person's configuration file.
func Open(dir string) (*Authority, error) {
	dir, err := filepath.Abs(dir) // the configuration file is used from other folders
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &Authority{dir: dir}
	if a.person, err = loadKey(filepath.Join(dir, "user.pem")); err != nil {
		return nil, err
	}
	if a.issuer, err = loadKey(filepath.Join(dir, "issuer.pem")); err != nil {
		return nil, err
	}
	if a.fingerprint, err = fingerprint(&a.person.PublicKey); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("[DEFAULT]\nuser=%s\nfingerprint=%s\ntenancy=%s\nregion=%s\nkey_file=%s\n",
		User, a.fingerprint, ID, Region, filepath.Join(dir, "user.pem"))
	return a, os.WriteFile(a.ConfigFile(), []byte(text), 0o600)
}

// ConfigFile is the path of the person's OCI configuration file.
func (a *Authority) ConfigFile() string { return filepath.Join(a.dir, "config") }

// loadKey reads a private key, and creates it the first time.
func loadKey(path string) (*rsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not a PEM file", path)
	}
	return x509.ParsePKCS1PrivateKey(block.Bytes)
}

func makeKey(path string) (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	// Renaming it into place leaves no half of a key after a crash.
	temp := path + ".new"
	// The OCI CLI warns about keys without this label.
	text := append(encodeKey(key), "OCI_API_KEY\n"...)
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return nil, err
	}
	return key, os.Rename(temp, path)
}

func encodeKey(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func fingerprint(key *rsa.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := md5.Sum(der) // #nosec G401 -- see the import
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02x", b)
	}
	return strings.Join(parts, ":"), nil
}

// Session is a resource principal of version 2.2.
type Session struct {
	Token      string // RPST, a JWT
	PrivateKey []byte // PEM
}

// jwk is the public key in a session token.
type jwk struct {
	Kty string `json:"kty"`
	N   string `json:"n"`
	E   string `json:"e"`
	Alg string `json:"alg"`
	Use string `json:"use"`
	Kid string `json:"kid"`
}

// NewSession issues the function's credentials, valid until expires.
func (a *Authority) NewSession(now, expires time.Time) (Session, error) {
	return a.session(now, expires, functionClaims(FunctionID, Compartment))
}

// NewRunner issues the runner's credentials, valid until expires. They are accepted, and grant nothing.
func (a *Authority) NewRunner(now, expires time.Time) (Session, error) {
	return a.session(now, expires, functionClaims(RunnerID, RunnerCompartment))
}

// functionClaims say which function a token is of.
func functionClaims(id, compartment string) jwt.MapClaims {
	return jwt.MapClaims{
		"sub": id, "ptype": "resource", "ttype": "res_sp", "res_id": id, "res_type": "fnfunc",
		"res_compartment": compartment,
	}
}

// NewInstance issues a compute instance's credentials, valid until expires.
func (a *Authority) NewInstance(now, expires time.Time) (Session, error) {
	return a.session(now, expires, jwt.MapClaims{
		"sub": InstanceID, "ptype": instanceType, "ttype": "x509", "opc-instance": InstanceID,
		"res_compartment": Compartment,
	})
}

// instanceType is the principal type of instances.
const instanceType = "instance"

// session issues credentials whose token has these claims.
func (a *Authority) session(now, expires time.Time, claims jwt.MapClaims) (Session, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Session{}, fmt.Errorf("make session key: %w", err)
	}
	public, err := json.Marshal(jwk{
		Kty: "RSA", Alg: "RS256", Use: "sig", Kid: "local",
		N: base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		E: base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	})
	if err != nil {
		return Session{}, fmt.Errorf("encode session key: %w", err)
	}
	maps.Copy(claims, jwt.MapClaims{
		"iss": "authService.oracle.com", "aud": "oci", "res_tenant": ID, "tenant": ID,
		"jwk": string(public), "iat": now.Unix(), "exp": expires.Unix(),
	})
	token, err := jwt.NewWithClaims(jwt.SigningMethodRS256, claims).SignedString(a.issuer)
	if err != nil {
		return Session{}, fmt.Errorf("sign session token: %w", err)
	}
	return Session{Token: token, PrivateKey: encodeKey(key)}, nil
}

// Key returns the public key for a key id, and its principal.
func (a *Authority) Key(keyID string, now time.Time) (*rsa.PublicKey, Principal, error) {
	if token, ok := strings.CutPrefix(keyID, "ST$"); ok {
		return a.sessionKey(token, now)
	}
	if keyID != ID+"/"+User+"/"+a.fingerprint {
		return nil, Principal{}, errors.New("unknown key")
	}
	return &a.person.PublicKey, Principal{User: User, Tenancy: ID, Compartment: ID}, nil
}

// sessionKey verifies a session token and returns the key in it.
func (a *Authority) sessionKey(token string, now time.Time) (*rsa.PublicKey, Principal, error) {
	claims := struct {
		jwt.RegisteredClaims
		JWK         string `json:"jwk"`
		Tenancy     string `json:"res_tenant"`
		Compartment string `json:"res_compartment"`
		Type        string `json:"ptype"`
	}{}
	_, err := jwt.ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return crypto.PublicKey(&a.issuer.PublicKey), nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return nil, Principal{}, fmt.Errorf("session token: %w", err)
	}
	var key jwk
	if err := json.Unmarshal([]byte(claims.JWK), &key); err != nil {
		return nil, Principal{}, fmt.Errorf("session token: %w", err)
	}
	n, errN := base64.RawURLEncoding.DecodeString(key.N)
	e, errE := base64.RawURLEncoding.DecodeString(key.E)
	if errN != nil || errE != nil || len(e) > 4 {
		return nil, Principal{}, errors.New("session token: the key cannot be read")
	}
	who := Principal{Function: claims.Subject, Tenancy: claims.Tenancy, Compartment: claims.Compartment}
	if claims.Type == instanceType {
		who.Function, who.Instance = "", claims.Subject
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}, who, nil
}
