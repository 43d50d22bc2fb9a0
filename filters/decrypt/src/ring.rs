//! The key ring: what it opens with, what it seals with, and the keys of one link that are derived from it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{LessSafeKey, UnboundKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf;
use linkgate_filter::Identity;
use linkgate_filter::problem::Problems;

use crate::config::{Compress, Config, Key, Mode};
use crate::key::Algorithm;
use crate::parts::Parts;

/// The prepared keys of one entry.
pub struct Ring {
    pub(crate) algorithm: Algorithm,
    pub(crate) mode: Mode,
    pub(crate) compress: Option<Compress>,
    pub(crate) max_decompressed: usize,
    pub(crate) active: usize,
    keys: Vec<RingKey>,
}

struct RingKey {
    id: Box<str>,
    material: Material,
}

enum Material {
    /// Keys of links are derived from it.
    Root(hkdf::Prk),
    /// It seals and opens itself.
    Itself(Arc<LessSafeKey>),
}

/// How many bytes to derive.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Ring {
    /// The ring that a config describes.
    ///
    /// # Errors
    /// Everything that makes no sense. No message repeats a key.
    pub fn of(config: &Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        config.check_sizes(&mut problems);
        let keys = config.read_keys(&mut problems);
        let active = config.active_at(&mut problems);
        problems.into_result(())?;
        Self::new(config, &keys, active).map_err(|_| {
            let mut problems = Problems::new();
            problems.at("keys", "the cipher does not take these keys");
            problems
        })
    }

    /// Whether it has one key alone.
    pub(crate) fn is_single(&self) -> bool {
        self.keys.len() == 1
    }

    /// The ids of keys that are not in `next` any more.
    pub(crate) fn missing_in(&self, next: &Self) -> Vec<&str> {
        let kept = |id: &str| next.keys.iter().any(|key| *key.id == *id);
        let ids = self.keys.iter().map(|key| &*key.id);
        ids.filter(|id| !kept(id)).collect()
    }

    fn new(config: &Config, keys: &[Vec<u8>], active: usize) -> Result<Self, Unspecified> {
        let (algorithm, mode) = (config.algorithm, config.mode);
        let prepare = |bytes: &[u8]| -> Result<Material, Unspecified> {
            Ok(match mode {
                Mode::Sealed => {
                    Material::Root(hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(bytes))
                }
                Mode::Interop => Material::Itself(Arc::new(ready(algorithm, bytes)?)),
            })
        };
        let ring_key = |(key, bytes): (&Key, &Vec<u8>)| -> Result<RingKey, Unspecified> {
            Ok(RingKey {
                id: key.id.as_str().into(),
                material: prepare(bytes)?,
            })
        };
        let keys: Result<_, _> = config.keys.iter().zip(keys).map(ring_key).collect();
        Ok(Self {
            algorithm,
            mode,
            compress: config.compress,
            max_decompressed: config.max_decompressed.as_usize(),
            active,
            keys: keys?,
        })
    }

    /// Whether a link that began with `other` can go on with this one: the same cipher, written the same way.
    pub(crate) fn continues(&self, other: &Self) -> bool {
        (self.algorithm, self.mode) == (other.algorithm, other.mode)
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn position(&self, id: &[u8]) -> Option<usize> {
        self.keys.iter().position(|key| key.id.as_bytes() == id)
    }

    pub(crate) fn id(&self, index: usize) -> &str {
        &self.keys[index].id
    }

    fn key(&self, index: usize, identity: &Identity) -> Result<Arc<LessSafeKey>, Unspecified> {
        let root = match &self.keys[index].material {
            Material::Itself(key) => return Ok(Arc::clone(key)),
            Material::Root(root) => root,
        };
        let info = Parts::of([b"linkgate sealed 1", self.algorithm.name().as_bytes()]);
        let info = info.identity(identity).into_bytes();
        let mut bytes = [0; 32];
        let bytes = &mut bytes[..self.algorithm.key_len()];
        root.expand(&[&info], Length(bytes.len()))?.fill(bytes)?;
        Ok(Arc::new(ready(self.algorithm, bytes)?))
    }
}

fn ready(algorithm: Algorithm, bytes: &[u8]) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(algorithm.cipher(), bytes).map(LessSafeKey::new)
}

impl fmt::Debug for Ring {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("algorithm", &self.algorithm)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// The keys of one link, derived when they are first needed and kept: as many as the ring has, at the most.
#[derive(Default)]
pub(crate) struct LinkKeys(Vec<Option<Arc<LessSafeKey>>>);

impl LinkKeys {
    pub(crate) fn get(
        &mut self,
        ring: &Ring,
        index: usize,
        identity: &Identity,
    ) -> Result<&LessSafeKey, Unspecified> {
        if self.0.is_empty() {
            self.0.resize(ring.len(), None);
        }
        let place = &mut self.0[index];
        match place {
            Some(key) => Ok(key),
            None => Ok(place.insert(ring.key(index, identity)?)),
        }
    }
}
