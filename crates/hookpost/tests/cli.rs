//! The binary as people use it: `hookpost dev` in a directory of its own, and the commands beside it without any flag.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_hookpost");

/// `hookpost dev` on a free port; ended when dropped, whatever happens.
struct Dev {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Dev {
    fn start(directory: &Path) -> Self {
        let mut child = hookpost(directory, &["dev", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// Reads what it prints up to a line that contains `text`.
    fn read_until(&mut self, text: &str) -> String {
        let mut read = String::new();
        while self.output.read_line(&mut read).unwrap() > 0 {
            if read.lines().next_back().is_some_and(|line| line.contains(text)) {
                return read;
            }
        }
        panic!("it ended before it printed {text:?}:\n{read}");
    }

    fn terminate(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hookpost(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOKPOST_")) {
        command.env_remove(name);
    }
    command
}

fn run(directory: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = hookpost(directory, args).output().unwrap();
    (status.code().unwrap_or(-1), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Runs a command that must succeed, and returns what it printed.
#[track_caller]
fn ok(directory: &Path, args: &[&str]) -> String {
    let (code, out, err) = run(directory, args);
    assert_eq!(code, 0, "{args:?} failed:\n{out}{err}");
    out
}

/// Asks again until there is an answer: what is written down after an answer takes a moment.
fn until<T>(ask: impl Fn() -> Option<T>) -> T {
    for _ in 0..100 {
        if let Some(answer) = ask() {
            return answer;
        }
    }
    panic!("it did not come about");
}

#[test]
fn the_first_hour_of_a_newcomer() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let mut dev = Dev::start(here);
    let welcome = dev.read_until("What arrives");
    for part in [
        "URL      http://127.0.0.1:",
        "/docs",
        "API key  hp_",
        " send --app demo --type invoice.paid",
        "curl http://127.0.0.1:",
        " why demo",
    ] {
        assert!(welcome.contains(part), "{part:?} is not in the welcome:\n{welcome}");
    }

    let sent = ok(here, &["send", "--app", "demo", "--type", "invoice.paid", "--data", r#"{"id":  1}"#]);
    let message = sent.trim().strip_prefix("accepted ").unwrap();
    let arrived = dev.read_until(message);
    assert!(arrived.contains("invoice.paid") && arrived.contains("signature ok") && arrived.contains(r#"{"id": 1}"#), "{arrived}");

    for (args, parts) in [
        (&["app", "list"][..], &["demo", "Demo"][..]),
        (&["app", "create", "Acme", "--uid", "acme", "--metadata", "plan=gold"], &["acme"]),
        (&["app", "update", "acme", "--name", "Acme Inc."], &["Acme Inc.", "gold"]),
        (&["endpoint", "create", "acme", "https://example.com/hook", "--uid", "main", "--event-type", "invoice.paid"], &["ep_"]),
        (&["endpoint", "list", "acme"], &["https://example.com/hook", "invoice.paid", "enabled"]),
        (&["endpoint", "disable", "acme", "main"], &["disabled"]),
        (&["endpoint", "list", "acme"], &["disabled"]),
        (&["endpoint", "enable", "acme", "main"], &["enabled"]),
        (&["endpoint", "secret", "acme", "main"], &["whsec_"]),
        (&["endpoint", "rotate-secret", "acme", "main"], &["whsec_"]),
        (&["endpoint", "stats", "demo", "demo-receiver"], &["success"]),
        (&["endpoint", "delete", "acme", "main"], &["deleted"]),
        (&["app", "delete", "acme"], &["deleted"]),
        (&["event-type", "create", "report.ready", "--description", "A report is ready"], &["report.ready"]),
        (&["event-type", "list"], &["invoice.paid", "report.ready", "A report is ready"]),
        (&["event-type", "delete", "report.ready"], &["archived"]),
        (&["message", "list", "demo"], &[message, "invoice.paid"]),
        (&["message", "get", "demo", message], &["payload", message]),
        (&["attempt", "list", "demo", "--message", message], &["success", "200", "scheduled"]),
        (&["attempt", "list", "demo", "--endpoint", "demo-receiver", "--status", "succeeded"], &[message]),
        (&["attempt", "resend", "demo", message, "demo-receiver"], &["again"]),
        (&["why", "demo"], &[message, "delivered", "attempt 1", "200"]),
        (&["why", "demo", message, "demo-receiver", "--json"], &["delivered"]),
        (&["endpoint", "replay", "demo", "demo-receiver", "--since", "1h", "--wait"], &["finished"]),
        (&["task", "list"], &["endpoint.bulk-replay", "finished"]),
        (&["tail", "demo", "--lines", "0"], &[]),
        (&["key", "create", "--name", "second", "--scope", "send"], &["hp_"]),
        (&["key", "list"], &["hookpost dev", "second", "send"]),
        (&["token"], &["ey"]),
        (&["health"], &["works"]),
        (&["openapi"], &["\"openapi\""]),
        (&["config"], &["retry_schedule"]),
        (&["completion", "bash"], &["hookpost"]),
    ] {
        let out = ok(here, args);
        for part in parts {
            assert!(out.contains(part), "{part:?} is not in the output of {args:?}:\n{out}");
        }
    }

    let secret = ["--secret", "what GitHub was told"];
    let url = ok(here, &[&["source", "create", "--type", "github", "--name", "GitHub", "--uid", "door"][..], &secret].concat());
    assert!(url.starts_with("http://127.0.0.1:") && url.contains("/in/") && url.lines().count() == 1, "{url}");
    let refused = Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "{}", url.trim()]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&refused.stdout), "401");
    let receipts = until(|| Some(ok(here, &["receipt", "list", "door"])).filter(|out| out.contains("rejected")));
    let receipt = receipts.lines().last().unwrap().split_whitespace().last().unwrap().to_owned();
    std::fs::write(
        here.join("sources.toml"),
        "[[source]]\nuid = 'shop'\ntype = 'shopify'\nconfig.secret = '${HOOKPOST_TEST_SECRET}'\n[[source.endpoint]]\nuid = 'main'\nurl = 'https://example.com'\n",
    )
    .unwrap();
    let with_secret = |args: &[&str]| {
        let output = hookpost(here, args).env("HOOKPOST_TEST_SECRET", "from the shop").output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for (command, words) in [("plan", "to create"), ("apply", "created"), ("apply", "unchanged"), ("plan", "unchanged")] {
        let out = with_secret(&[command, "sources.toml"]);
        assert!(out.contains("shop/main") && out.lines().skip(1).all(|line| line.starts_with(words)), "{command}: {out}");
    }
    for (args, parts) in [
        (&["source", "list"][..], &["door", "GitHub", "github", "/in/", "enabled", "shop"][..]),
        (&["source", "get", "door"], &["applicationId", "src_"]),
        (&["source", "update", "door", "--name", "Other", "--secret", "another"], &["Other"]),
        (&["source", "disable", "door"], &["disabled"]),
        (&["source", "enable", "door"], &["enabled"]),
        (&["source", "rotate-url", "door"], &["/in/"]),
        (&["receipt", "list", "door", "--verdict", "rejected"], &["401", &receipt]),
        (&["receipt", "get", "door", &receipt], &["rejected", "detail"]),
        (&["receipt", "get", "door", &receipt, "--body"], &["{}"]),
        (&["receipt", "counts", "door"], &["rejected"]),
        (&["receipt", "replay", "door", &receipt], &["rejected", "replayOf"]),
        (&["receipt", "replay", "door", "--since", "1h"], &["0 accepted, 0 duplicate, 1 refused, 0 skipped"]),
        (&["source", "delete", "door"], &["deleted"]),
    ] {
        let out = ok(here, args);
        for part in parts {
            assert!(out.contains(part), "{part:?} is not in the output of {args:?}:\n{out}");
        }
    }

    for (args, code, part) in [
        (&["source", "create", "--type", "github"][..], 4, "body.config.secret: is missing"),
        (&["receipt", "replay", "shop"], 2, "<RECEIPT>"),
        (&["apply", "nowhere.toml"], 1, "nowhere.toml"),
        (&["plan", "sources.toml"], 2, "these variables are not set: ${HOOKPOST_TEST_SECRET}"),
        (&["app", "get", "nobody"], 5, "404"),
        (&["send", "--app", "demo", "--type", "a b", "--data", "{}"], 4, "eventType"),
        (&["send", "--app", "demo", "--type", "x", "--data", "{"], 2, "not JSON"),
        (&["app", "list", "--api-key", "wrong"], 4, "401"),
        (&["key", "revoke", "key_000000000000000000000000000"], 5, "there is no key"),
        (&["serve", "--listen", "127.0.0.1:0"], 1, "in use"),
        (&["serve", "--lane-concurrency", "many"], 2, "--lane-concurrency = \"many\": must be a whole number"),
        (&["serve", "--config", "nowhere.toml"], 2, "nowhere.toml"),
    ] {
        let (ended, out, err) = run(here, args);
        assert!(ended == code && err.contains(part), "{args:?} ended with {ended}:\n{out}{err}");
    }

    assert_eq!(dev.terminate(), Some(0));
    let (code, _, err) = run(here, &["app", "list"]);
    assert!(code == 3 && err.contains("Is the server running?"), "{err}");
}

#[test]
fn dev_is_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let mut dev = Dev::start(here);
    dev.read_until("What arrives");
    let key = std::fs::read_to_string(here.join("hookpost-data/dev.key")).unwrap();
    ok(here, &["send", "--app", "demo", "--type", "user.created", "--data", "{}", "--event-id", "first"]);
    dev.read_until("user.created");
    assert_eq!(dev.terminate(), Some(0));

    let mut dev = Dev::start(here);
    dev.read_until("What arrives");
    assert_eq!(std::fs::read_to_string(here.join("hookpost-data/dev.key")).unwrap(), key);
    assert!(ok(here, &["why", "demo", "first"]).contains("delivered"));
}

#[test]
fn a_backup_of_a_running_server_can_be_restored() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let mut dev = Dev::start(here);
    dev.read_until("What arrives");
    ok(here, &["app", "create", "Before", "--uid", "before"]);
    ok(here, &["backup", "today.backup"]);
    ok(here, &["app", "create", "After", "--uid", "after"]);
    let (code, _, err) = run(here, &["backup", "today.backup"]);
    assert!(code != 0 && err.contains("today.backup"), "{err}");
    let (code, _, err) = run(here, &["restore", "today.backup"]);
    assert!(code != 0 && err.contains("in use"), "{err}");
    assert_eq!(dev.terminate(), Some(0));

    let (code, _, err) = run(here, &["restore", "today.backup"]);
    assert!(code != 0 && err.contains("has a database"), "{err}");
    std::fs::rename(here.join("hookpost-data"), here.join("old")).unwrap();
    ok(here, &["restore", "today.backup"]);
    // The keys are not part of a backup.
    for file in ["master.key", "jwt.secret", "dev.key"] {
        std::fs::copy(here.join("old").join(file), here.join("hookpost-data").join(file)).unwrap();
    }
    let mut dev = Dev::start(here);
    dev.read_until("What arrives");
    assert!(ok(here, &["app", "get", "before"]).contains("Before"));
    assert_eq!(run(here, &["app", "get", "after"]).0, 5);
}
