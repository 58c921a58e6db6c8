//! What `hookpost dev` prints first: where everything is, and two commands to paste.

use console::style;

use super::demo::APP;
use super::files::DevFiles;
use crate::config::{SETTINGS, Settings};

pub(crate) fn text(program: &str, url: &str, key: &str, settings: &Settings) -> String {
    let title = style(format!("Hookpost {}", env!("CARGO_PKG_VERSION"))).bold();
    let head = |text: &'static str| style(text).bold();
    let kept = style(format!("(kept in {})", settings.data_dir.join(DevFiles::KEY).display())).dim();
    let elsewhere = elsewhere(settings);
    format!(
        "
  {title} is running on this machine.

    URL      {url}
    Docs     {url}/docs
    API key  {key}  {kept}

  {send}

    {program} send{elsewhere} --app {APP} --type invoice.paid --data '{{\"id\": 1}}'

    curl {url}/api/v1/app/{APP}/msg \\
      -H 'Authorization: Bearer {key}' \\
      -H 'Content-Type: application/json' \\
      -d '{{\"eventType\": \"invoice.paid\", \"payload\": {{\"id\": 1}}}}'

  {why}

    {program} why{elsewhere} {APP}

  {arrives}

",
        send = head("Send an event, in another terminal:"),
        why = head("See its way:"),
        arrives = head("What arrives at the demo receiver (Ctrl-C ends it all):"),
    )
}

/// The client commands find a server in the default directory by themselves.
fn elsewhere(settings: &Settings) -> String {
    let default = SETTINGS.iter().find(|setting| setting.name == "data_dir").map(|setting| setting.default);
    match settings.data_dir.to_str() {
        path if path == default => String::new(),
        _ => format!(" --data-dir {}", settings.data_dir.display()),
    }
}
