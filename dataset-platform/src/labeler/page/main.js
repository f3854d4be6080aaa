// Which view the address names: #/login, #/ (the list of jobs), #/tasks/<id> (the editor of its job).
import { call, list, token } from "./api.js";
import { el, say } from "./dom.js";
import { openEditor } from "./editor.js";

const view = document.getElementById("view");
const where = document.getElementById("where");
const logout = document.getElementById("logout");
let closeView = () => {};

logout.addEventListener("click", () => {
  token.set(null);
  location.hash = "#/login";
});

function showLogin() {
  const user = el("input", { name: "user", autocomplete: "username", required: true, value: "admin" });
  const password = el("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const submit = async (event) => {
    event.preventDefault();
    try {
      token.set((await call("POST", "/api/auth/login", { username: user.value, password: password.value })).key);
      say("");
      const next = sessionStorage.getItem("airloom-after-login") ?? "#/";
      if (location.hash === next) await route();
      else location.hash = next;
    } catch (error) {
      say(error.message, true);
    }
  };
  const hint = el("p", {}, "The password is LABELER_PASSWORD in the file .env of your Airloom folder.");
  view.replaceChildren(
    el(
      "form",
      { class: "login", onsubmit: submit },
      el("h1", {}, "Log in"),
      el("label", {}, "User", user),
      el("label", {}, "Password", password),
      el("button", { class: "primary" }, "Log in"),
      hint,
    ),
  );
  password.focus();
}

async function showJobs() {
  const [tasks, jobs] = [await list("/api/tasks"), await list("/api/jobs")];
  const rows = tasks.map((task) => {
    const job = jobs.find(({ task_id }) => task_id === task.id);
    return el(
      "tr",
      {},
      el("td", {}, job ? el("a", { href: `#/tasks/${task.id}` }, task.name) : task.name),
      el("td", {}, task.project_name ?? ""),
      el("td", {}, String(task.size ?? 0)),
      el("td", {}, job ? job.state : "no pictures yet"),
    );
  });
  const head = el("tr", {}, ...["Task", "Project", "Pictures", "State"].map((title) => el("th", { scope: "col" }, title)));
  const empty = el("p", {}, "Nothing to label yet. Put pictures into dataset-platform/incoming/ and trigger labeling_pipeline in Airflow.");
  view.replaceChildren(el("h1", {}, "Tasks"), tasks.length === 0 ? empty : el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
}

async function route() {
  closeView();
  closeView = () => {};
  const hash = location.hash || "#/";
  logout.hidden = !token.get();
  where.textContent = "";
  try {
    if (!token.get()) {
      if (hash !== "#/login") sessionStorage.setItem("airloom-after-login", hash);
      return showLogin();
    }
    const [, id] = /^#\/tasks\/(\d+)$/.exec(hash) ?? [];
    if (id) closeView = await openEditor(view, where, Number(id));
    else await showJobs();
  } catch (error) {
    say(error.message, true);
  }
}

// A link that people know from CVAT: /tasks/7 is served as this page too.
const [, fromPath] = /^\/tasks\/(\d+)/.exec(location.pathname) ?? [];
if (fromPath) history.replaceState(null, "", `/#/tasks/${fromPath}`);
addEventListener("hashchange", route);
route();
