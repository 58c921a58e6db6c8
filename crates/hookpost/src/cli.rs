//! The command line: what can be typed. What it does is in [`crate::commands`], [`crate::serve`] and [`crate::dev`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command as ClapCommand, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    app, apply, attempt, backup, endpoint, event_type, key, message, migrate, move_data, providers, receipt, send, sign, source, tail,
    task, token, verify, why,
};
use crate::config::{Form, SETTINGS};
use crate::failure::EXIT_CODES;

/// Webhooks, both ways, in one binary.
///
/// Start with `hookpost dev`: it runs everything on this machine and prints two commands to paste.
#[derive(Debug, Parser)]
#[command(name = "hookpost", version, max_term_width = 100, after_help = EXIT_CODES, disable_help_subcommand = true, next_line_help = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything on a desk: server, demo application and a receiver that shows what arrives
    #[command(after_help = "\
Examples:
  hookpost dev
  hookpost dev --listen 127.0.0.1:9000 --data-dir /tmp/hookpost

Everything it makes is kept in the data directory; remove the directory to begin anew.")]
    Dev(ServeArgs),

    /// Run the server
    #[command(after_help = "\
Examples:
  hookpost serve --config hookpost.toml
  HOOKPOST_JWT_SECRET=… hookpost serve --listen 0.0.0.0:8071 --data-dir /var/lib/hookpost

Every setting is a flag, a variable (HOOKPOST_LISTEN) or a line in the file. Flags go before variables, variables before
the file. `hookpost config` shows what is in force, `hookpost serve --help` all there are.")]
    Serve(ServeArgs),

    /// Show every setting with its value, default and origin
    #[command(after_help = "\
Examples:
  hookpost config --config hookpost.toml
  hookpost config --example > hookpost.toml")]
    Config(ConfigArgs),

    /// Send an event: create a message in an application
    Send(send::SendArgs),

    /// Why did a message arrive at an endpoint, or not?
    Why(why::WhyArgs),

    /// Follow the messages and attempts of an application as they happen
    Tail(tail::TailArgs),

    /// Applications: one for each of your customers
    App(app::AppArgs),

    /// Endpoints: where messages of an application are delivered
    Endpoint(endpoint::EndpointArgs),

    /// Event types: the kinds of events that endpoints can choose
    EventType(event_type::EventTypeArgs),

    /// Messages: the events of an application
    Message(message::MessageArgs),

    /// Attempts: the tries at delivering messages
    Attempt(attempt::AttemptArgs),

    /// Sources: verified doors for the webhooks that others send to you
    Source(source::SourceArgs),

    /// Receipts: the requests that arrived at a source, and what was made of them
    Receipt(receipt::ReceiptArgs),

    /// Make the sources and their endpoints as a file describes them
    Apply(apply::ApplyArgs),

    /// Say what `apply` would do, and do nothing
    Plan(apply::PlanArgs),

    /// Background tasks: the replays and recoveries under way
    Task(task::TaskArgs),

    /// Is this webhook what it says it is, and if not, why?
    Verify(verify::VerifyArgs),

    /// Make a webhook as a provider signs it, for trying a receiver
    Sign(sign::SignArgs),

    /// Providers: whose webhooks can be verified, and what that needs
    Providers(providers::ProvidersArgs),

    /// API keys: create, list, revoke
    Key(key::KeyArgs),

    /// Sign a token for an organization or one of its applications
    Token(token::TokenArgs),

    /// Copy the data into one file, while the server runs or not
    Backup(backup::BackupArgs),

    /// Put a backup in place of the data; the server must not run
    Restore(backup::RestoreArgs),

    /// Move everything to another store: from the data directory to PostgreSQL, or back
    Move(move_data::MoveArgs),

    /// PostgreSQL: bring the database up to date, or say whether that is to be done
    Migrate(migrate::MigrateArgs),

    /// Ask a running server whether it works
    #[command(after_help = "Ends with 0 if it does, with 3 if it cannot be reached, else with 4: for containers and supervisors.")]
    Health(ClientArgs),

    /// Print the OpenAPI description of the HTTP API
    Openapi,

    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  hookpost completion bash > /etc/bash_completion.d/hookpost
  hookpost completion zsh > ~/.zfunc/_hookpost
  hookpost completion fish > ~/.config/fish/completions/hookpost.fish")]
    Completion { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Configuration file, TOML [env: HOOKPOST_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// For commands that work on the data of a server on this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArgs {
    /// Configuration file of the server [env: HOOKPOST_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its data directory [env: HOOKPOST_DATA_DIR] [default: ./hookpost-data]
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
}

impl DataArgs {
    /// The same as flags of `serve`.
    pub(crate) fn as_serve(&self) -> ServeArgs {
        let mut settings = SettingFlags::default();
        if let Some(data_dir) = &self.data_dir {
            settings.0.insert("data_dir", data_dir.to_string_lossy().into_owned());
        }
        ServeArgs { config: self.config.clone(), settings }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Print as JSON
    #[arg(long, conflicts_with = "example")]
    pub(crate) json: bool,
    /// Print a file with every setting, commented out, to start from
    #[arg(long)]
    pub(crate) example: bool,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// How client commands reach the server.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Server to talk to [env: HOOKPOST_URL] [default: the `hookpost dev` of this directory, or http://127.0.0.1:8071]
    #[arg(long, value_name = "URL", global = true, help_heading = "Connection", display_order = 1000)]
    pub(crate) url: Option<String>,
    /// API key or token [env: HOOKPOST_API_KEY] [default: the key of the `hookpost dev` of this directory]
    #[arg(long, value_name = "KEY", global = true, help_heading = "Connection", display_order = 1001)]
    pub(crate) api_key: Option<String>,
    /// Where `hookpost dev` keeps its data [env: HOOKPOST_DATA_DIR] [default: ./hookpost-data]
    #[arg(long, value_name = "DIRECTORY", global = true, help_heading = "Connection", display_order = 1002)]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long, global = true, help_heading = "Output", display_order = 1003)]
    pub(crate) json: bool,
}

/// The settings that everybody needs; `--help` shows all, `-h` these.
const IN_SHORT_HELP: &[&str] =
    &["listen", "data_dir", "database", "public_url", "jwt_secret", "allow_private_networks", "retry_schedule", "log"];

/// One flag per row of the table of settings.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags(pub(crate) BTreeMap<&'static str, String>);

impl Args for SettingFlags {
    fn augment_args(command: ClapCommand) -> ClapCommand {
        SETTINGS.iter().enumerate().fold(command, |command, (index, setting)| {
            let default = if setting.default.is_empty() { String::new() } else { format!(" [default: {}]", setting.default) };
            let help = format!("{}{default} [env: {}]", setting.help, setting.variable());
            let flag = Arg::new(setting.name)
                .long(setting.flag())
                .help(help)
                .action(ArgAction::Set)
                .allow_hyphen_values(false)
                .help_heading("Settings")
                .hide_short_help(!IN_SHORT_HELP.contains(&setting.name))
                .display_order(100 + index);
            command.arg(match setting.form {
                // `--https-only` alone means true, and its value must stand behind `=`.
                Form::Switch => flag.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL"),
                Form::Text | Form::Lists | Form::Secret | Form::PasswordUrl => flag.value_name(value_name(setting.name)),
            })
        })
    }

    fn augment_args_for_update(command: ClapCommand) -> ClapCommand {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = SETTINGS.iter().filter_map(|setting| Some((setting.name, matches.get_one::<String>(setting.name)?.clone())));
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(Self::from_arg_matches(matches)?.0);
        Ok(())
    }
}

fn value_name(setting: &str) -> &'static str {
    match setting {
        "listen" => "ADDRESS",
        "data_dir" => "DIRECTORY",
        "node_name" => "NAME",
        name if name.ends_with("_url") || name == "proxy" || name == "database" => "URL",
        "disable_endpoint_after"
        | "request_timeout"
        | "retention"
        | "payload_retention"
        | "receipt_retention"
        | "circuit_window"
        | "lease" => "DURATION",
        name if name.contains("cool_down") || name.starts_with("shutdown_") || name.ends_with("_every") => "DURATION",
        name if name.ends_with("_max") || name.ends_with("_kept") || name == "circuit_failures" || name == "lane_concurrency" => "NUMBER",
        _ => "VALUE",
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_become_flags() {
        let Command::Serve(args) =
            Cli::try_parse_from(["hookpost", "serve", "--https-only", "--listen", "[::1]:1", "--operational-webhooks=off"])
                .unwrap()
                .command
        else {
            panic!("not serve")
        };
        let flags: Vec<_> = args.settings.0.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(flags, [("https_only", "true"), ("listen", "[::1]:1"), ("operational_webhooks", "off")]);
        assert!(Cli::try_parse_from(["hookpost", "serve", "--lisen", "x"]).unwrap_err().to_string().contains("--listen"));
    }

    /// The help of every command, so that a change of it is seen in review.
    #[test]
    fn help() {
        let mut all = String::new();
        print_help(Cli::command().term_width(100), "hookpost", &mut all);
        insta::assert_snapshot!(all);
    }

    fn print_help(mut command: ClapCommand, path: &str, all: &mut String) {
        command = command.bin_name(path.to_owned());
        command.build();
        // The long form differs where there are settings; once is enough.
        let (flag, help) = if path == "hookpost serve" { ("--help", command.render_long_help()) } else { ("-h", command.render_help()) };
        all.push_str(&format!("## {path} {flag}\n\n{help}\n"));
        for sub in command.get_subcommands() {
            let name = format!("{path} {}", sub.get_name());
            if sub.get_name() != "help" {
                print_help(sub.clone().term_width(100), &name, all);
            }
        }
    }
}
