//! A database of its own for a run that must not touch a shop's data: a benchmark, say.
//!
//! What must stay true: nothing is dropped but what was created here, under a name that no other
//! run has.

use sqlx::AssertSqlSafe;

use crate::{Database, DatabaseError};

/// A new, empty database on a server.
#[derive(Debug)]
pub struct ScratchDatabase {
    server: Database,
    name: String,
    url: String,
}

impl ScratchDatabase {
    /// Creates it on the server of this URL, whose user must be allowed to.
    ///
    /// # Errors
    /// When the URL is malformed, or the server does not answer or refuses.
    pub async fn create(url: &str) -> Result<Self, DatabaseError> {
        let name = format!("holdfast_scratch_{}", uuid::Uuid::new_v4().simple());
        let server = Database::mysql(url, 1)?;
        server
            .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .await?;
        let url = with_database(url, &name);
        Ok(Self { server, name, url })
    }

    /// Where it is. Has the password in it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops it with everything in it.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn remove(self) -> Result<(), DatabaseError> {
        let drop = format!("DROP DATABASE {}", self.name);
        self.server.execute(AssertSqlSafe(drop)).await?;
        self.server.close().await;
        Ok(())
    }
}

/// The URL with another database. It was parsed before, so it has an authority and a path.
fn with_database(url: &str, name: &str) -> String {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let path = url[authority..]
        .find('/')
        .map_or(url.len(), |at| authority + at);
    let query = url[path..].find('?').map_or("", |at| &url[path + at..]);
    format!("{}/{name}{query}", &url[..path])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_databases_name_is_exchanged() {
        let url = "mysql://u:p%2F@h:3306/shop?ssl-mode=required";
        assert_eq!(
            with_database(url, "x"),
            "mysql://u:p%2F@h:3306/x?ssl-mode=required"
        );
        assert_eq!(with_database("mysql://u@h/shop", "x"), "mysql://u@h/x");
    }
}
