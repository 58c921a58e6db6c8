//! The two secrets that a server must not lose: the master key, which seals signing secrets in the database, and the one that tokens are signed with.
//!
//! The embedded store has one server, so what is not given is made once and kept in the data directory. On PostgreSQL several nodes read the same rows and
//! the same tokens: there both must be given, and nothing is read from or written to the directory.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use hookpost_domain::Entropy as _;

use crate::config::{ConfigError, DatabaseChoice, MasterKey, Secret, Settings};
use crate::dev::write_private;
use crate::outside::SystemEntropy;

/// In the data directory, readable for its owner only.
const MASTER_KEY_FILE: &str = "master.key";
const JWT_SECRET_FILE: &str = "jwt.secret";

/// Whether a server with these settings has its secrets, or can make them. To be asked before anything is opened.
pub(crate) fn check(settings: &Settings) -> Result<(), ConfigError> {
    let missing: Vec<String> = match settings.database {
        DatabaseChoice::Embedded => Vec::new(),
        DatabaseChoice::Postgres(_) => {
            let master_key = settings.master_key.is_none().then(master_key_is_missing);
            let jwt_secret = settings.jwt_secret.is_none().then(jwt_secret_is_missing);
            master_key.into_iter().chain(jwt_secret).collect()
        }
    };
    if missing.is_empty() { Ok(()) } else { Err(ConfigError(missing)) }
}

fn master_key_is_missing() -> String {
    "master_key: must be set on PostgreSQL, to the same on every node; make one with `openssl rand -hex 32` and set HOOKPOST_MASTER_KEY"
        .to_owned()
}

fn jwt_secret_is_missing() -> String {
    "jwt_secret: must be set on PostgreSQL, to the same on every node; make one with `openssl rand -base64 32` and set HOOKPOST_JWT_SECRET"
        .to_owned()
}

/// The key that seals secrets: given, or the one in the data directory, or a new one there.
pub(crate) fn master_key(settings: &Settings) -> anyhow::Result<MasterKey> {
    if let Some(key) = &settings.master_key {
        return Ok(key.clone());
    }
    if let DatabaseChoice::Postgres(_) = settings.database {
        return Err(ConfigError(vec![master_key_is_missing()]).into());
    }
    let file = settings.data_dir.join(MASTER_KEY_FILE);
    if let Some(text) = read_if_there(&file)? {
        return MasterKey::parse(&text).with_context(|| format!("the master key in {} cannot be read", file.display()));
    }
    // As the store makes it: for nobody but its owner.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.data_dir);
    made.with_context(|| format!("cannot make the data directory {}", settings.data_dir.display()))?;
    let text = random_text();
    write_private(&file, &text).with_context(|| format!("cannot keep the master key in {}", file.display()))?;
    MasterKey::parse(&text).context("a key that was just made can be read")
}

pub(crate) fn has_master_key(settings: &Settings) -> bool {
    settings.master_key.is_some() || settings.data_dir.join(MASTER_KEY_FILE).exists()
}

/// The secret that tokens are signed with: given, or the one in the data directory, or a new one there.
pub(crate) fn jwt_secret(settings: &Settings) -> anyhow::Result<Secret> {
    if let Some(secret) = jwt_secret_if_any(settings)? {
        return Ok(secret);
    }
    if let DatabaseChoice::Postgres(_) = settings.database {
        return Err(ConfigError(vec![jwt_secret_is_missing()]).into());
    }
    let secret = Secret(random_text());
    let file = settings.data_dir.join(JWT_SECRET_FILE);
    write_private(&file, &secret.0).with_context(|| format!("cannot keep the token secret in {}", file.display()))?;
    Ok(secret)
}

/// The same for those who only sign: given, or made by a server that ran here before.
pub(crate) fn jwt_secret_if_any(settings: &Settings) -> anyhow::Result<Option<Secret>> {
    match (&settings.jwt_secret, &settings.database) {
        (Some(secret), _) => Ok(Some(secret.clone())),
        (None, DatabaseChoice::Postgres(_)) => Ok(None),
        (None, DatabaseChoice::Embedded) => Ok(read_if_there(&settings.data_dir.join(JWT_SECRET_FILE))?.map(Secret)),
    }
}

/// 32 random bytes in base64.
fn random_text() -> String {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn read_if_there(file: &Path) -> anyhow::Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot read {}", file.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve_for_test;

    #[test]
    fn nodes_of_one_database_must_be_given_their_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().to_str().unwrap();
        let postgres = ("database", "postgres://me@db/hooks");
        let key = ("master_key", "00".repeat(32));
        let secret = ("jwt_secret", "a secret for tests");
        let missing = |flags: &[(&'static str, &str)]| {
            let flags: Vec<_> = flags.iter().copied().chain([("data_dir", data_dir)]).collect();
            check(&resolve_for_test(&flags)).map_err(|error| error.0.iter().map(|problem| problem[..10].to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(missing(&[]), Ok(()));
        assert_eq!(missing(&[postgres, (key.0, &key.1), secret]), Ok(()));
        assert_eq!(missing(&[postgres]).unwrap_err(), ["master_key", "jwt_secret"]);
        assert_eq!(missing(&[postgres, secret]).unwrap_err(), ["master_key"]);

        let settings = resolve_for_test(&[postgres, ("data_dir", data_dir)]);
        assert!(master_key(&settings).is_err() && jwt_secret(&settings).is_err());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is made in the data directory");
    }
}
