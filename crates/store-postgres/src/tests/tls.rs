//! `sslmode` against a server that speaks TLS with a certificate of its own making.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use super::server::Running;
use crate::OpenError;
use crate::connect::{DatabaseUrl, connect_first};

struct TlsServer {
    running: Running,
    certificates: TempDir,
}

impl TlsServer {
    fn start() -> Self {
        let certificates = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let (certificate, key) = (certificates.path().join("server.pem"), certificates.path().join("server.key"));
        std::fs::write(&certificate, pem("CERTIFICATE", made.cert.der())).unwrap();
        std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
        std::fs::set_permissions(certificates.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        give_to_server(&key);
        let setting = |name: &str, file: &Path| format!("{name}={}", file.display());
        let files = [setting("ssl_cert_file", &certificate), setting("ssl_key_file", &key)];
        let running = Running::start(&["-c", "ssl=on", "-c", &files[0], "-c", &files[1]]);
        Self { running, certificates }
    }

    fn url(&self, parameters: &str) -> DatabaseUrl {
        DatabaseUrl::parse(&format!("{}postgres?{parameters}", self.running.base)).unwrap()
    }

    fn trusting(&self, mode: &str) -> String {
        format!("sslmode={mode}&sslrootcert={}", self.certificates.path().join("server.pem").display())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

/// As root the server runs as another user, who must own its key.
fn give_to_server(key: &Path) {
    let id = |arguments: &[&str]| -> Option<u32> {
        String::from_utf8(Command::new("id").args(arguments).output().ok()?.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) == Some(0) {
        chown(key, id(&["-u", "postgres"]), None).unwrap();
    }
}

async fn is_encrypted(url: &DatabaseUrl) -> Result<bool, OpenError> {
    let first = connect_first(url).await?;
    let row = first.client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    Ok(row.get(0))
}

#[tokio::test]
async fn who_is_asked_for_is_who_answers() {
    let server = TlsServer::start();
    for (parameters, encrypted) in [
        ("sslmode=disable".to_owned(), false),
        ("sslmode=prefer".to_owned(), true),
        ("sslmode=require".to_owned(), true),
        (server.trusting("require"), true),
        (server.trusting("verify-full"), true),
    ] {
        assert_eq!(is_encrypted(&server.url(&parameters)).await.unwrap(), encrypted, "{parameters}");
    }
    // Of its own making, so that no machine trusts it; and for another name.
    let elsewhere = server.url(&server.trusting("verify-full")).server().replace("127.0.0.1", "localhost");
    let elsewhere = DatabaseUrl::parse(&format!("postgres://postgres@{elsewhere}/postgres?{}", server.trusting("verify-full"))).unwrap();
    for url in [server.url("sslmode=verify-full"), elsewhere] {
        let said = is_encrypted(&url).await.unwrap_err();
        assert!(matches!(&said, OpenError::Tls { why } if why.contains("certificate")), "{said}");
    }
}
