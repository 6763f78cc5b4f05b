//! The certificates of a PEM text, and nothing else of it.

use super::RenderError;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The `CERTIFICATE` blocks of a PEM text, joined by line feeds, without one at the end.
///
/// Everything else is left out: explanatory text between the blocks confuses some readers, and a private key that
/// somebody keeps in the same file must not reach anyone else's delivery.
///
/// # Errors
/// [`RenderError::NoCertificate`] if there is none.
pub fn certificates_of(pem: &str) -> Result<String, RenderError> {
    let mut blocks = Vec::new();
    let mut rest = pem;
    while let Some(begin) = rest.find(BEGIN) {
        let block = &rest[begin..];
        let Some(end) = block.find(END) else { break };
        let (block, after) = block.split_at(end + END.len());
        blocks.extend(block.lines().map(str::trim).filter(|line| !line.is_empty()));
        rest = after;
    }
    if blocks.is_empty() { Err(RenderError::NoCertificate) } else { Ok(blocks.join("\n")) }
}
