/** Where a proxy listens. */
export interface ProxyAddress {
  /** @default every address */
  readonly hostname?: string;
  /** 0 takes a free port. */
  readonly port: number;
}

/** The server's own doors into the mesh, for programs that have no client beside them. */
export interface MeshProxyOptions {
  /** Ports of SOCKS5: in clear, and inside TLS. Counts when the server starts. @default none, the mesh is there for clients alone */
  readonly socks?: { readonly listen?: ProxyAddress; readonly tlsListen?: ProxyAddress };
  /** Whether CONNECT on the public HTTP port leads into the mesh, and not to the rule of the name that it asks for. @default false */
  readonly connect?: boolean;
  /** Port of CONNECT inside TLS. Counts when the server starts. @default none */
  readonly connectTlsListen?: ProxyAddress;
}
