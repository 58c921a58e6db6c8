//! `hookpost apply` and `hookpost plan`: sources and their endpoints as a file describes them.
//!
//! Everything is found by its uid, so that a file can be applied again and again: what is there already as it should be is left alone. What the file
//! does not name is left alone too; nothing is ever deleted. Whether the settings of a source differ is for the server to say, which alone knows
//! its secrets.

mod file;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::ClientArgs;
use crate::client::{Client, ingest_path, path, with_query};
use crate::config::Environment;
use crate::failure::Failure;
use crate::output::{self, Table, cell};

use file::{DeclaredEndpoint, DeclaredSource, File};

const EXAMPLE: &str = "\
The file is TOML:
  [[source]]
  uid = \"github\"
  name = \"GitHub\"
  type = \"github\"
  config = { secret = \"${GITHUB_SECRET}\" }
  rules = { rateLimit = 100, deduplicate = { by = \"eventId\", windowS = 86400 } }

  [[source.endpoint]]
  uid = \"ci\"
  url = \"https://ci.example.com/hooks\"

${NAME} is a variable of the environment, $$ a dollar sign. Nothing is ever deleted.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct ApplyArgs {
    /// The file
    file: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct PlanArgs {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) fn run(args: &ApplyArgs, environment: &Environment) -> anyhow::Result<()> {
    carry_out(&args.file, args.dry_run, &args.client, environment)
}

pub(crate) fn plan(args: &PlanArgs, environment: &Environment) -> anyhow::Result<()> {
    carry_out(&args.file, true, &args.client, environment)
}

fn carry_out(file: &Path, dry_run: bool, client: &ClientArgs, environment: &Environment) -> anyhow::Result<()> {
    let file = File::read(file, environment)?;
    let json = client.json;
    let work = Work { client: Client::new(client, environment)?, dry_run };
    let mut done = Vec::new();
    for source in &file.source {
        // What was done before a refusal is told with it.
        if let Err(refusal) = work.source(source, &mut done) {
            print(&done, dry_run, json)?;
            return Err(refusal.context(format!("source `{}`", source.uid)));
        }
    }
    print(&done, dry_run, json)
}

/// One line of the answer.
#[derive(Debug, PartialEq)]
struct Step {
    outcome: Outcome,
    kind: &'static str,
    name: String,
    /// What is worth telling beside it: the URL of a source.
    note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Created,
    Changed,
    Unchanged,
}

impl Outcome {
    fn word(self, dry_run: bool) -> &'static str {
        match (self, dry_run) {
            (Self::Created, false) => "created",
            (Self::Changed, false) => "changed",
            (Self::Created, true) => "to create",
            (Self::Changed, true) => "to change",
            (Self::Unchanged, _) => "unchanged",
        }
    }
}

#[derive(Debug)]
struct Work {
    client: Client,
    dry_run: bool,
}

impl Work {
    fn source(&self, source: &DeclaredSource, done: &mut Vec<Step>) -> anyhow::Result<()> {
        let path = ingest_path("/source/{}", &[&source.uid]);
        let before = self.get(&path)?;
        let after = self.client.put(&with_query(path, &[("dry_run", self.dry_run.then(|| "true".to_owned()))]), &source.body())?;
        let note = after["ingestUrl"].as_str().map(str::to_owned).filter(|_| before.is_some() || !self.dry_run);
        done.push(Step { outcome: outcome(before.as_ref(), &after), kind: "source", name: source.uid.clone(), note });
        // By its application, where what is not said of an endpoint is set back.
        let application = (before.is_some() || !self.dry_run).then(|| cell(&after["applicationId"]));
        for endpoint in &source.endpoint {
            let outcome = self.endpoint(application.as_deref(), endpoint)?;
            done.push(Step { outcome, kind: "endpoint", name: format!("{}/{}", source.uid, endpoint.uid), note: None });
        }
        Ok(())
    }

    /// Without an application, in a plan, there is nothing yet that could be compared.
    fn endpoint(&self, application: Option<&str>, endpoint: &DeclaredEndpoint) -> anyhow::Result<Outcome> {
        let Some(application) = application else { return Ok(Outcome::Created) };
        let path = path("/app/{}/endpoint/{}", &[application, &endpoint.uid]);
        let before = self.get(&path)?;
        let headers_path = format!("{path}/headers");
        let headers_before = before.as_ref().map(|_| self.client.get(&headers_path)).transpose()?;
        let outcome = match &before {
            None => Outcome::Created,
            Some(before) if endpoint.differs_from(before, headers_before.as_ref()) => Outcome::Changed,
            Some(_) => Outcome::Unchanged,
        };
        if outcome != Outcome::Unchanged && !self.dry_run {
            self.client.put(&path, &endpoint.body())?;
        }
        Ok(outcome)
    }

    /// `None`: there is no such thing.
    fn get(&self, path: &str) -> anyhow::Result<Option<Value>> {
        match self.client.get(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) => match error.downcast_ref::<Failure>() {
                Some(Failure::Refused { status: 404, .. }) => Ok(None),
                _ => Err(error),
            },
        }
    }
}

/// The server does not touch a source that is as it should be.
fn outcome(before: Option<&Value>, after: &Value) -> Outcome {
    match before {
        None => Outcome::Created,
        Some(before) if before["updatedAt"] == after["updatedAt"] => Outcome::Unchanged,
        Some(_) => Outcome::Changed,
    }
}

fn print(done: &[Step], dry_run: bool, json: bool) -> anyhow::Result<()> {
    if json {
        let steps = done.iter().map(|step| {
            let mut fields = Map::new();
            fields.insert("outcome".to_owned(), step.outcome.word(false).into());
            fields.insert(step.kind.to_owned(), step.name.as_str().into());
            if let Some(url) = &step.note {
                fields.insert("ingestUrl".to_owned(), url.as_str().into());
            }
            Value::Object(fields)
        });
        let answer = json!({"dryRun": dry_run, "steps": steps.collect::<Vec<_>>()});
        return Ok(output::print_json(&answer)?);
    }
    let mut table = Table::new(&["OUTCOME", "WHAT", "NAME", "URL"]);
    for step in done {
        let note = step.note.as_deref().map_or(Value::Null, Value::from);
        table.row([step.outcome.word(dry_run).to_owned(), step.kind.to_owned(), step.name.clone(), cell(&note)]);
    }
    output::print(table)?;
    if dry_run {
        eprintln!("{}", console::style("This is a plan: nothing was changed.").dim().for_stderr());
    }
    Ok(())
}
