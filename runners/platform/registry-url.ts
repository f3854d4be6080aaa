import type { Connection } from "airloom";

/** What of a connection's extra is part of the address. */
const passedOn = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/** The postgresql:// URL of an Airflow connection, with what is special in its parts percent-encoded. */
export function registryUrl({
  host,
  port,
  login,
  password,
  schema,
  extra,
}: Pick<Connection, "host" | "port" | "login" | "password" | "schema" | "extra">): string {
  const user = login ? `${encodeURIComponent(login)}${password ? `:${encodeURIComponent(password)}` : ""}@` : "";
  const place = host?.includes(":") ? `[${host}]` : encodeURIComponent(host || "localhost");
  const chosen = passedOn.flatMap((name) => (typeof extra?.[name] === "string" ? [[name, extra[name]] as [string, string]] : []));
  const query = chosen.length > 0 ? `?${new URLSearchParams(chosen).toString()}` : "";
  return `postgresql://${user}${place}:${port ?? 5432}/${encodeURIComponent(schema || "airloom")}${query}`;
}
