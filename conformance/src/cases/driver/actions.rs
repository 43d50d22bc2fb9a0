//! What steps do.

use std::time::Duration;

use linkgate_core::config::PipelineConfig;
use linkgate_core::listener::config::{AuthConfig, FormChoice, ListenerConfig};
use linkgate_core::node::Node;
use linkgate_filter::{Form, Identity};

use super::tokens::{self, Whom};
use super::{Driver, load};
use crate::cases::language::Action;
use crate::cases::language::docs::{self, Connect};
use crate::cases::world::There;
use crate::cases::world::backend;
use crate::cases::world::client::{At, Client, Target};
use crate::cases::world::seal::Seals;

impl Driver<'_> {
    pub(super) async fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Connect(name, connect, again) => self.connect(name, connect, *again).await?,
            Action::Send(name, sent) => {
                for sent in sent {
                    self.client(name)?.send(sent)?;
                }
            }
            Action::Disconnect(name) => {
                self.client(name)?;
                self.world.clients.remove(name);
            }
            Action::Close(name, code) => self.client(name)?.close(*code),
            Action::Read(name, reads) => self.client(name)?.read(*reads),
            Action::Backend(name, is_there) => {
                self.known("backend", name, self.facts.backends.iter())?;
                self.world.backends.set(name, *is_there);
            }
            Action::Broker(name, trouble) => {
                self.known("broker", name, self.facts.brokers.iter())?;
                self.world.edges.trouble_broker(name, trouble);
            }
            Action::Store(name, trouble) => {
                self.known("store", name, self.facts.stores.iter())?;
                self.world.edges.trouble_store(name, trouble);
            }
            Action::Write(name, record) => {
                self.known("broker", name, self.facts.brokers.iter())?;
                self.world.edges.write(name, backend::record(record)?);
            }
            Action::Push(push) => self.push(push)?,
            Action::Pass(time) => tokio::time::sleep(*time).await,
            Action::Config(paths, is_good) => self.change(paths, *is_good)?,
            Action::Stop(grace) => self.stop(*grace)?,
        }
        Ok(())
    }

    pub(super) fn known<'n>(
        &self,
        kind: &str,
        name: &str,
        mut known: impl Iterator<Item = &'n String> + Clone,
    ) -> Result<(), String> {
        let all = known.clone().map(String::as_str).collect::<Vec<_>>();
        match known.any(|known| known == name) {
            true => Ok(()),
            false if all.is_empty() => Err(format!("the configuration names no {kind}")),
            false => Err(format!(
                "there is no {kind} `{name}`; the configuration names {}",
                all.join(", ")
            )),
        }
    }

    fn client(&mut self, name: &str) -> Result<&mut Client, String> {
        let client = self.world.clients.get_mut(name);
        client.ok_or_else(|| {
            format!("`{name}` is not connected\n  write before it: - {name} connects")
        })
    }

    async fn connect(&mut self, name: &str, connect: &Connect, again: bool) -> Result<(), String> {
        if !again && self.world.clients.get(name).is_some_and(Client::is_open) {
            return Err(format!(
                "`{name}` is connected already\n  write `- {name} reconnects`, or have another client with its `user_id`"
            ));
        }
        let doc = self.case.clients.get(name).cloned().unwrap_or_default();
        let target = self.target(name, &doc, connect)?;
        // Who connects anew has let go of the link before.
        self.world.clients.remove(name);
        let connecting = Client::connect(name, target, connect, &self.world.log);
        let client = tokio::select! {
            biased;
            client = connecting => client?,
            () = self.world.settled(), if !self.world.is_real() => {
                return Err("the gateway lets this handshake wait".to_owned());
            }
        };
        if let Some(client) = client {
            self.world.clients.insert(name.to_owned(), client);
        }
        Ok(())
    }

    fn target(&self, name: &str, doc: &docs::Client, connect: &Connect) -> Result<Target, String> {
        let biz_id = self.biz_id(doc.biz_id.as_deref())?;
        let listener = self.listener(doc.listener.as_deref(), biz_id)?;
        let there = self.world.there.as_ref();
        let mark = there.map_or("", |there| there.mark.as_str());
        let mut user_id = doc.user_id.as_deref().unwrap_or(name).to_owned();
        if !user_id.is_empty() {
            user_id.push_str(mark);
        }
        let user_id = user_id.as_str();
        let device_id = doc.device_id.as_deref();
        let (form, asks_for) = match (listener.form, doc.form) {
            (FormChoice::Protobuf, _) => (Form::Protobuf, None),
            (FormChoice::Json, _) => (Form::Json, None),
            (_, Some(docs::Form::Json)) => (Form::Json, Some(Form::Json)),
            (_, _) => (Form::Protobuf, Some(Form::Protobuf)),
        };
        let mut path = connect.path.clone();
        let path = path.get_or_insert_with(|| match there.and_then(There::path) {
            Some(path) => path.to_owned(),
            None => listener.websocket.path.clone(),
        });
        if listener.auth == AuthConfig::InsecureQuery {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query
                .append_pair("biz_id", biz_id)
                .append_pair("user_id", user_id);
            if let Some(device_id) = device_id {
                query.append_pair("device_id", device_id);
            }
            path.push('?');
            path.push_str(&query.finish());
        }
        let whom = Whom {
            biz_id,
            user_id,
            device_id,
        };
        let mut identity = Identity::new(biz_id, user_id);
        if let Some(device_id) = device_id {
            identity = identity.at_device(device_id);
        }
        let seals = match doc.bare {
            true => Seals::default(),
            false => self.seals(&listener.name, &identity),
        };
        Ok(Target {
            at: self.at(&listener.name)?,
            token: there
                .and_then(|there| there.token.clone())
                .or_else(|| tokens::token(listener, &whom, connect, self.world.clock.wall())),
            path: path.clone(),
            asks_for,
            form,
            from: doc.from,
            seals,
        })
    }

    /// Where a listener is.
    fn at(&self, listener: &str) -> Result<At, String> {
        if let Some(there) = &self.world.there {
            return Ok(At::There(there.base().to_owned()));
        }
        let addresses = self.node.as_ref().map(|node| node.listeners());
        let mut addresses = addresses.into_iter().flatten();
        let address = addresses.find(|(known, _)| *known == listener);
        let (_, address) = address.ok_or("the node does not run any more")?;
        Ok(At::Here(self.world.memory.clone(), address))
    }

    fn seals(&self, listener: &str, identity: &Identity) -> Seals {
        if let Some(config) = &self.there {
            let mut pipelines = config.pipelines.iter();
            let serves = |pipeline: &&PipelineConfig| {
                pipeline.biz_id == *identity.biz_id
                    && pipeline.listeners.iter().any(|name| name == listener)
            };
            let pipeline = pipelines.find(serves);
            return pipeline.map_or_else(Seals::default, |pipeline| {
                Seals::new(pipeline.standard.plan.client(identity))
            });
        }
        let generation = self.node.as_ref().map(Node::generation);
        let pipeline = generation.as_ref().and_then(|generation| {
            let served = generation.find(listener, &identity.biz_id)?;
            Some(served.pipeline(identity))
        });
        pipeline.map_or_else(Seals::default, |pipeline| {
            Seals::new(pipeline.client(identity))
        })
    }

    pub(super) fn biz_id<'b>(&'b self, named: Option<&'b str>) -> Result<&'b str, String> {
        let mut known = self.facts.businesses();
        match (named, known.next(), known.next()) {
            (Some(named), _, _) => Ok(named),
            (None, Some(only), None) => Ok(only),
            _ => Err("the configuration has several businesses: say `biz_id`".to_owned()),
        }
    }

    fn listener(&self, named: Option<&str>, biz_id: &str) -> Result<&ListenerConfig, String> {
        let listeners = &self.facts.listeners;
        let found = match named {
            Some(named) => listeners.iter().find(|listener| listener.name == named),
            None => {
                let serves = |listener: &&ListenerConfig| self.facts.serves(&listener.name, biz_id);
                listeners.iter().find(serves).or_else(|| listeners.first())
            }
        };
        let names = listeners.iter().map(|listener| listener.name.as_str());
        found.ok_or_else(|| {
            let names = names.collect::<Vec<_>>().join(", ");
            format!(
                "there is no listener `{}`; there are {names}",
                named.unwrap_or_default()
            )
        })
    }

    fn change(&mut self, paths: &[std::path::PathBuf], is_good: bool) -> Result<(), String> {
        let node = self.node.as_ref().ok_or("the node does not run any more")?;
        if let Some(missing) = paths.iter().find(|path| !path.exists()) {
            return Err(format!("there is no {}", missing.display()));
        }
        let changed = load(paths, self.file, &self.registry).and_then(|config| {
            let facts = super::Facts::of(&config);
            self.world.backends.learn(&config.backends);
            let changed = node.change(config).map_err(|error| error.to_string());
            changed.map(|_| facts)
        });
        match (changed, is_good) {
            (Ok(facts), true) => {
                self.counted.learn(&node.generation(), facts.takes_pushes());
                self.facts = facts;
                Ok(())
            }
            (Err(_), false) => Ok(()),
            (Err(why), true) => Err(format!("the configuration is refused:\n{why}")),
            (Ok(_), false) => Err("the configuration is taken".to_owned()),
        }
    }

    fn stop(&mut self, grace: Duration) -> Result<(), String> {
        let node = self.node.take().ok_or("the node does not run any more")?;
        tokio::spawn(node.stop(grace));
        Ok(())
    }
}
