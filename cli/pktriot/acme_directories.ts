/** Certificate authorities that have a word in the configuration, with the URL of their directory (RFC 8555 7.1.1). */
export const ACME_DIRECTORIES: Readonly<Record<string, string>> = {
  "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
  /** For trying: generous limits, and nobody trusts its certificates. */
  "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
};
