//! The secrets file and the signing key: given, or made in the data directory at the first start.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use contract::token::{Audience, PublicKey};
use contract::{TokenSigner, TokenVerifier};
use personal_data::Secrets;

use crate::settings::KeyArgs;

/// The secrets: the given file, which must exist, or the data directory's own.
///
/// # Errors
/// One sentence that says which file cannot be read, and why.
pub(crate) fn secrets(args: &KeyArgs, data: &Path) -> Result<Arc<Secrets>> {
    let secrets = match &args.secrets_file {
        Some(file) => Secrets::open(file)?,
        None => {
            create_directory(data)?;
            Secrets::open_or_create(&data.join("secrets.json"))?
        }
    };
    Ok(Arc::new(secrets))
}

/// The signer of access tokens: the given key, which must exist, or the data directory's own.
///
/// # Errors
/// One sentence that says which file cannot be read, and why.
pub(crate) fn signer(args: &KeyArgs, data: &Path) -> Result<TokenSigner> {
    let pem = match &args.jwt_key_file {
        Some(file) => read(file)?,
        None => {
            create_directory(data)?;
            read_or_create(&data.join("jwt-key.pem"))?
        }
    };
    TokenSigner::from_pem(&pem, Audience::default())
        .with_context(|| "the key that signs access tokens cannot be used".to_owned())
}

/// Accepts what this signer signs, and what the further public keys' owners signed.
///
/// # Errors
/// One sentence that says which file cannot be read, and why.
pub(crate) fn verifier(args: &KeyArgs, signer: &TokenSigner) -> Result<TokenVerifier> {
    let mut keys = public_keys(args)?;
    keys.push(signer.public_key().clone());
    Ok(TokenVerifier::with_keys(&Audience::default(), keys))
}

/// Makes a directory that only its owner may enter.
///
/// # Errors
/// One sentence that names the directory.
pub(crate) fn create_directory(directory: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("the directory {} cannot be made", directory.display()))
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))
}

/// The file's key; a new one where there is none. Written whole under another name first, so that
/// a crash leaves no half key behind.
fn read_or_create(file: &Path) -> Result<String> {
    match std::fs::read_to_string(file) {
        Ok(pem) => return Ok(pem),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => bail!("{} cannot be read: {error}", file.display()),
    }
    let pem = TokenSigner::generate_pem();
    let partial = file.with_extension(format!("{}.partial", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut new = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        new.write_all(pem.as_bytes())?;
        new.sync_all()?;
        // A link and not a rename: where another process was first, its key stays.
        let linked = std::fs::hard_link(&partial, file);
        std::fs::remove_file(&partial)?;
        match linked {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    };
    write().with_context(|| format!("{} cannot be written", file.display()))?;
    read(file)
}

/// Accepts what the given public keys' owners signed.
///
/// # Errors
/// One sentence that says which file cannot be read, and why.
pub(crate) fn public_verifier(args: &KeyArgs) -> Result<TokenVerifier> {
    Ok(TokenVerifier::with_keys(
        &Audience::default(),
        public_keys(args)?,
    ))
}

fn public_keys(args: &KeyArgs) -> Result<Vec<PublicKey>> {
    let public_key = |file: &std::path::PathBuf| {
        PublicKey::from_pem(&read(file)?)
            .with_context(|| format!("{} holds no public key", file.display()))
    };
    args.jwt_public_key_file.iter().map(public_key).collect()
}
