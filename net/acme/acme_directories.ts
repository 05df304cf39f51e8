/** Certificate authorities that have a word of their own, with the URL of their directory (RFC 8555 7.1.1). */
export const ACME_DIRECTORIES = {
  "letsencrypt": "https://acme-v02.api.letsencrypt.org/directory",
  /** For trying: generous limits, and nobody trusts its certificates. */
  "letsencrypt-staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
} as const;

/** The URL for a word, or for a URL itself (https only, security R48); undefined when it is neither. */
export function acmeDirectory(text: string): string | undefined {
  if (Object.hasOwn(ACME_DIRECTORIES, text)) return ACME_DIRECTORIES[text as keyof typeof ACME_DIRECTORIES];
  return /^https:\/\/[\x21-\x7e]+$/.test(text) && URL.canParse(text) ? text : undefined;
}
