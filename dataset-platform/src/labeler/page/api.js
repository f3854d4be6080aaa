// Calls to the labeler's REST API. The token lives as long as the tab.
const key = "airloom-labeler-token";

export const token = {
  get: () => sessionStorage.getItem(key),
  set: (value) => (value ? sessionStorage.setItem(key, value) : sessionStorage.removeItem(key)),
};

/** The parsed answer; throws an error with the server's own words, and sends the person to log in after a 401. */
export async function call(method, path, body) {
  const headers = { Accept: "application/vnd.cvat+json" };
  if (token.get()) headers.Authorization = `Token ${token.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const init = { method, headers };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(path, init);
  const text = await response.text();
  if (response.status === 401) {
    token.set(null);
    location.hash = "#/login";
  }
  let parsed;
  try {
    parsed = text ? JSON.parse(text) : undefined;
  } catch {
    parsed = text;
  }
  if (!response.ok)
    throw new Error(
      typeof parsed === "string"
        ? parsed
        : (parsed?.detail ??
            Object.values(parsed ?? {})
              .flat()
              .join(" ") ??
            response.statusText),
    );
  return parsed;
}

/** All pages of a list. */
export async function list(path) {
  const all = [];
  for (let page = 1; ; page++) {
    const { results, next } = await call("GET", `${path}${path.includes("?") ? "&" : "?"}page_size=100&page=${page}`);
    all.push(...results);
    if (!next) return all;
  }
}

/** A picture as an object URL: an <img> cannot send the token itself. */
export async function picture(taskId, number) {
  const response = await fetch(`/api/tasks/${taskId}/data?type=frame&quality=original&number=${number}`, {
    headers: { Authorization: `Token ${token.get()}` },
  });
  if (!response.ok) throw new Error(`picture ${number} could not be loaded (${response.status})`);
  return URL.createObjectURL(await response.blob());
}
