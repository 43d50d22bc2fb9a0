//! `linkgate nodes` and `linkgate where`: which nodes there are, and on which of them a user is.

mod locate;
mod nodes;

pub(super) use self::locate::Args as WhereArgs;
pub(super) use self::locate::run as locate;
pub(super) use self::nodes::Args as NodesArgs;
pub(super) use self::nodes::run as nodes;

use hyper::Method;
use serde::de::DeserializeOwned;

use super::admin_client::{self, Asking};

/// Asks a node at its admin address; the error is a sentence.
async fn ask<T: DeserializeOwned>(
    node: &str,
    asking: &Asking,
    path: &str,
) -> Result<(T, String), String> {
    let called = admin_client::call((node, asking), (Method::GET, path), Vec::new());
    let (status, answer) = called.await?;
    let text = String::from_utf8_lossy(&answer).trim_end().to_owned();
    if status != 200 {
        return Err(format!("the node answers {status}: {text}"));
    }
    let read = serde_json::from_str(&text);
    let read = read.map_err(|error| format!("the node answers with something else: {error}"))?;
    Ok((read, text))
}
