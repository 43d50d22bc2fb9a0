//! The way to etcd: one member at a time, and the next one when it fails.
//!
//! The client library could spread calls over all members, but would go on giving a dead one its share.

use std::io;
use std::path::Path;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, KvClient, TlsOptions};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{EtcdError, Meaning, is_unsent, meaning, text};
use super::source::{EtcdSource, EtcdTls};

/// The largest answer that is taken.
pub(super) const LARGEST_ANSWER: usize = 64 << 20;

/// Pings while calls or watches are open. etcd takes one each 5 s at most.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));

/// Between one round of all members and the next.
const PAUSE: Duration = Duration::from_millis(100);

/// The way to one etcd. It opens with the first call, and again after each failure.
pub(crate) struct Connection {
    source: EtcdSource,
    /// Where keys may stand besides the prefix of the source.
    elsewhere: Option<String>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    open: Option<Client>,
    /// The member, among the endpoints.
    member: usize,
    /// Counts connections, so that a broken one is given up once.
    number: u64,
}

/// A connection and its number.
pub(super) struct Line {
    pub(super) client: Client,
    pub(super) number: u64,
}

/// How a call ended that was not answered.
pub(super) enum Failure {
    /// etcd answered with an error that another attempt does not mend.
    Said(Error),
    /// It could not be asked, or not in time.
    Silent(EtcdError),
}

impl Connection {
    pub(crate) fn new(source: EtcdSource) -> Self {
        Self {
            source,
            elsewhere: None,
            slot: Mutex::default(),
        }
    }

    /// Some keys stand here, not below the prefix of the source.
    pub(crate) fn with_keys_below(mut self, place: &str) -> Self {
        self.elsewhere = Some(place.trim_end_matches('/').to_owned());
        self
    }

    pub(crate) fn source(&self) -> &EtcdSource {
        &self.source
    }

    /// How long one member may take: less than the whole, so that there is time for another.
    pub(super) fn patience(&self) -> Duration {
        match self.source.endpoints.len() {
            1 => *self.source.timeout,
            _ => *self.source.timeout / 3,
        }
    }

    /// The open connection, or a new one to the member whose turn it is.
    pub(super) async fn line(&self) -> Result<Line, Failure> {
        let mut slot = self.slot.lock().await;
        if let Some(client) = &slot.open {
            let (client, number) = (client.clone(), slot.number);
            return Ok(Line { client, number });
        }
        slot.number += 1;
        let number = slot.number;
        let endpoint = &self.source.endpoints[slot.member % self.source.endpoints.len()];
        let until = Instant::now() + self.patience();
        let opened = match self.options(until).await {
            Ok(options) => {
                let scheme = if self.source.tls.is_some() {
                    "https"
                } else {
                    "http"
                };
                let url = format!("{scheme}://{endpoint}");
                timeout_at(until, Box::pin(Client::connect([url], Some(options)))).await
            }
            Err(error) => return Err(Failure::Silent(error)),
        };
        match opened {
            Ok(Ok(client)) => {
                slot.open = Some(client.clone());
                Ok(Line { client, number })
            }
            Ok(Err(error)) => {
                slot.member += 1;
                Err(Failure::Said(error))
            }
            Err(_) => {
                slot.member += 1;
                Err(Failure::Silent(self.timed_out()))
            }
        }
    }

    /// Gives up a connection, unless that has been done: the next call asks the next member.
    pub(super) async fn give_up(&self, number: u64) {
        let mut slot = self.slot.lock().await;
        if slot.number == number && slot.open.take().is_some() {
            slot.member += 1;
        }
    }

    /// The answer to a call, which may be made several times.
    pub(super) async fn call<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answer = self.call_once_more(call, &mut false).await;
        answer.map_err(|failure| self.explain(failure))
    }

    /// As [`call`](Self::call). `is_doubtful` is set when an attempt may have taken effect without an answer.
    pub(super) async fn call_once_more<T, F>(
        &self,
        call: impl Fn(Client) -> F,
        is_doubtful: &mut bool,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + *self.source.timeout;
        let mut attempts = 0;
        loop {
            let failure = match self.line().await {
                Ok(Line { client, number }) => {
                    let until = deadline.min(Instant::now() + self.patience());
                    match timeout_at(until, Box::pin(call(client))).await {
                        Ok(Ok(answer)) => return Ok(answer),
                        Ok(Err(error)) if meaning(&error) != Meaning::Retry => {
                            return Err(Failure::Said(error));
                        }
                        Ok(Err(error)) => {
                            *is_doubtful |= !is_unsent(&error);
                            self.give_up(number).await;
                            Failure::Said(error)
                        }
                        Err(_) => {
                            *is_doubtful = true;
                            self.give_up(number).await;
                            Failure::Silent(self.timed_out())
                        }
                    }
                }
                Err(Failure::Said(error)) if meaning(&error) != Meaning::Retry => {
                    return Err(Failure::Said(error));
                }
                Err(Failure::Silent(error @ EtcdError::File { .. })) => {
                    return Err(Failure::Silent(error));
                }
                Err(failure) => failure,
            };
            attempts += 1;
            if attempts % self.source.endpoints.len() == 0 {
                sleep(PAUSE).await;
            }
            if Instant::now() >= deadline {
                return Err(failure);
            }
        }
    }

    /// The error for the one who runs linkgate.
    pub(super) fn explain(&self, failure: Failure) -> EtcdError {
        let error = match failure {
            Failure::Silent(error) => return error,
            Failure::Said(error) => error,
        };
        let (endpoints, why) = (self.source.endpoints.join(", "), text(&error));
        match meaning(&error) {
            Meaning::Retry => EtcdError::Unreachable { endpoints, why },
            Meaning::Refused => {
                let user = self.source.user.as_ref();
                let prefix = self.source.prefix.trim_end_matches('/');
                let prefix = match &self.elsewhere {
                    Some(elsewhere) => format!("{prefix}/ or {elsewhere}"),
                    None => prefix.to_owned(),
                };
                let who = user.map_or("who names no `user`".to_owned(), |user| format!("`{user}`"));
                EtcdError::Refused { who, why, prefix }
            }
            _ => EtcdError::Failed { endpoints, why },
        }
    }

    pub(super) fn timed_out(&self) -> EtcdError {
        EtcdError::TimedOut {
            endpoints: self.source.endpoints.join(", "),
            limit: *self.source.timeout,
        }
    }

    async fn options(&self, until: Instant) -> Result<ConnectOptions, EtcdError> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(self.patience())
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let (Some(user), Some(password)) = (&self.source.user, &self.source.password) {
            options = options.with_user(user, password.expose());
        }
        if let Some(tls) = &self.source.tls {
            options = options.with_tls(tls_options(tls, until).await?);
        }
        Ok(options)
    }
}

/// The key-value part, which takes answers of the size that is bounded here.
pub(super) fn kv(client: &Client) -> KvClient {
    client.kv_client().max_decoding_message_size(LARGEST_ANSWER)
}

async fn tls_options(tls: &EtcdTls, until: Instant) -> Result<TlsOptions, EtcdError> {
    let mut options = TlsOptions::new();
    options = match &tls.ca {
        Some(ca) => options.ca_certificate(Certificate::from_pem(read(ca, until).await?)),
        None => options.with_native_roots(),
    };
    if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
        let (cert, key) = (read(cert, until).await?, read(key, until).await?);
        options = options.identity(Identity::from_pem(cert, key));
    }
    if let Some(domain) = &tls.domain {
        options = options.domain_name(domain);
    }
    Ok(options)
}

/// The files are small, and read once per connection; a disk that hangs holds up nothing else.
async fn read(path: &Path, until: Instant) -> Result<Vec<u8>, EtcdError> {
    let file = path.to_owned();
    let read = spawn_blocking(move || std::fs::read(file));
    let read = match timeout_at(until, read).await {
        Ok(Ok(read)) => read,
        Ok(Err(stopped)) => Err(io::Error::other(stopped)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    read.map_err(|error| EtcdError::File {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn a_refusal_names_each_place_whose_keys_are_needed() {
        let source = EtcdSource::parse_url("etcd://127.0.0.1:2379/linkgate/").unwrap();
        let refusal = |connection: &Connection| {
            let error = Error::GRpcStatus(Status::permission_denied("no"));
            connection.explain(Failure::Said(error)).to_string()
        };
        let connection = Connection::new(source);
        let said = refusal(&connection);
        assert!(said.ends_with("begin with /linkgate/"), "{said}");
        let said = refusal(&connection.with_keys_below("/services/node/"));
        assert!(
            said.ends_with("begin with /linkgate/ or /services/node/"),
            "{said}"
        );
    }
}
