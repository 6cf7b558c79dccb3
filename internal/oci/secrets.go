package oci

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/secrets"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// SecretVersion describes a version of a secret, without its value.
type SecretVersion struct {
	ID      string // OCID
	Version string // number
}

const ocidPrefix = "ocid1."

// Secret reads the current version of a secret, by its OCID or by its name in a vault. The vault's OCID may be empty
// if there is none. The error is a *problem.Error of the family "secret", or that of the credentials.
func (c *Client) Secret(ctx context.Context, ref, vault string) ([]byte, SecretVersion, error) {
	if !strings.HasPrefix(ref, ocidPrefix) && vault == "" {
		return nil, SecretVersion{}, problem.New(problem.Problem{
			Code: "secret.vault", Where: ref, Message: "the secret is named, and no vault is configured",
			Hint: "set CEMLI_VAULT to the vault's OCID, or use the secret's OCID",
		}, nil)
	}
	bundle, err := c.bundle(ctx, ref, vault)
	if err != nil {
		return nil, SecretVersion{}, secretError(ref, err)
	}
	return contents(ref, bundle)
}

// SecretOf reads a version of a secret, by its OCID. Its errors are those of Secret.
func (c *Client) SecretOf(ctx context.Context, of SecretVersion) ([]byte, error) {
	number, err := strconv.ParseInt(of.Version, 10, 64)
	if err != nil {
		return nil, secretError(of.ID, fmt.Errorf("%q is no version", of.Version))
	}
	var bundle secrets.SecretBundle
	_, err = c.call(ctx, func(ctx context.Context, p *principal) error {
		api, err := secrets.NewSecretsClientWithConfigurationProvider(p.provider)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api.BaseClient)
		request := secrets.GetSecretBundleRequest{SecretId: &of.ID, VersionNumber: &number}
		answer, err := api.GetSecretBundle(ctx, request)
		bundle = answer.SecretBundle
		return err
	})
	if err != nil {
		return nil, secretError(of.ID, err)
	}
	value, _, err := contents(of.ID, bundle)
	return value, err
}

// contents are the value and the version in a bundle.
func contents(ref string, bundle secrets.SecretBundle) ([]byte, SecretVersion, error) {
	content, ok := bundle.SecretBundleContent.(secrets.Base64SecretBundleContentDetails)
	if !ok || content.Content == nil {
		return nil, SecretVersion{}, secretError(ref, errors.New("its content is not base64"))
	}
	text, err := base64.StdEncoding.DecodeString(*content.Content)
	if err != nil {
		return nil, SecretVersion{}, secretError(ref, errors.New("its content is not base64"))
	}
	version := strconv.FormatInt(value(bundle.VersionNumber), 10)
	return text, SecretVersion{ID: value(bundle.SecretId), Version: version}, nil
}

// bundle asks for a secret by its OCID, or by its name in the vault.
func (c *Client) bundle(ctx context.Context, ref, vault string) (bundle secrets.SecretBundle, err error) {
	_, err = c.call(ctx, func(ctx context.Context, p *principal) error {
		api, err := secrets.NewSecretsClientWithConfigurationProvider(p.provider)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api.BaseClient)
		if !strings.HasPrefix(ref, ocidPrefix) {
			request := secrets.GetSecretBundleByNameRequest{SecretName: &ref, VaultId: &vault}
			answer, err := api.GetSecretBundleByName(ctx, request)
			bundle = answer.SecretBundle
			return err
		}
		answer, err := api.GetSecretBundle(ctx, secrets.GetSecretBundleRequest{SecretId: &ref})
		bundle = answer.SecretBundle
		return err
	})
	return bundle, err
}

func secretError(ref string, err error) error {
	if errors.Is(err, errCredentials) {
		return err
	}
	p := problem.Problem{
		Code: "secret.unavailable", Where: ref, Message: "the secret cannot be read",
		Hint: "check the vault's status and the network route",
	}
	status, _ := serviceAnswer(err)
	if passing(status) {
		// A later read may succeed.
		return problem.New(p, store.Error(store.ErrUnavailable, "read secret", "vault", ref, brief(err)))
	}
	if status == http.StatusNotFound || status == http.StatusForbidden || status == http.StatusUnauthorized {
		p.Message = "there is no such secret, or the function may not read it"
		p.Hint = "check its name or OCID, and the statement that lets the function read secret-bundles"
	}
	return problem.New(p, fmt.Errorf("read secret: %w", brief(err)))
}
