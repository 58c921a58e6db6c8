//! From an address to connections: TLS, the settings of a session, what version and which rights are needed; one pool for reads and changes, and
//! connections of their own for those who write in groups.

/// `postgres://user:password@host:5432/database?sslmode=…`. Never shows its password.
#[derive(Clone)]
pub struct DatabaseUrl {
    _config: tokio_postgres::Config,
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) pool: deadpool_postgres::Pool,
}
