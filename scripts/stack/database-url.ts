/** The databases that Airloom has on its PostgreSQL server. */
export const databaseNames = ["airflow", "mlflow", "airloom"] as const;
export type DatabaseName = (typeof databaseNames)[number];

/** A PostgreSQL server and who logs in there. Nothing in it is percent-encoded. */
export interface DatabaseServer {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  /** The database to connect to before any other is there. */
  readonly first: string;
  /** As libpq knows it: disable, require, verify-full, … */
  readonly sslmode: string | undefined;
}

/**
 * The server that a URL names: postgresql://user:password@host:port/database, with what is special in the password
 * percent-encoded.
 * @throws {Error} that names DATABASE_URL, and never holds the password
 */
export function parseDatabaseUrl(text: string): DatabaseServer {
  const form = "postgresql://user:password@host:5432/database";
  const scheme = /^([a-z][\w+.-]*):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme && !/^postgres(ql)?(\+\w+)?$/.test(scheme))
    throw new Error(
      `DATABASE_URL begins with ${scheme}:, and Airloom keeps its data in PostgreSQL alone: it takes ${form}, or nothing for the server that comes with it`,
    );
  const mend = `DATABASE_URL has to look like ${form}; write characters such as / # ? % @ in the password percent-encoded (%2F %23 %3F %25 %40)`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url?.hostname || !url.username || url.hash) throw new Error(mend);
  const unknown = [...url.searchParams.keys()].filter((name) => name !== "sslmode");
  if (unknown.length > 0) throw new Error(`${mend}. Of parameters it takes sslmode alone`);
  try {
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: Number(url.port || 5432),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      first: decodeURIComponent(url.pathname.slice(1)) || "postgres",
      sslmode: url.searchParams.get("sslmode") ?? undefined,
    };
  } catch {
    throw new Error(mend);
  }
}

/** The URL of a database on a server, as Node's pg and libpq take it. */
export function databaseUrl({ host, port, user, password, sslmode }: DatabaseServer, name: string): string {
  const login = [user, password].map(encodeURIComponent).join(":");
  const query = sslmode ? `?sslmode=${encodeURIComponent(sslmode)}` : "";
  return `postgresql://${login}@${host.includes(":") ? `[${host}]` : host}:${port}/${encodeURIComponent(name)}${query}`;
}

/** The same URL as SQLAlchemy takes it, for its synchronous driver. */
export const sqlAlchemyUrl = (url: string): string => url.replace(/^postgresql:/, "postgresql+psycopg2:");

/** The same URL for SQLAlchemy's asynchronous driver, where sslmode goes by the name of ssl. */
export const asyncSqlAlchemyUrl = (url: string): string => url.replace(/^postgresql:/, "postgresql+asyncpg:").replace("?sslmode=", "?ssl=");
