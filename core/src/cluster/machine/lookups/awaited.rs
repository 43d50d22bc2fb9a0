//! Users who are waited for, wherever they come.

use std::time::Duration;

use super::AWAITED;
use crate::cluster::machine::Machine;
use crate::cluster::machine::event::{Action, Holder, Need, Verdict};
use crate::edges::directory::User;

impl Machine {
    /// One who is waited for was looked for.
    pub(super) fn is_looked_for(
        &mut self,
        user: &User,
        holders: &[Holder],
        verdict: Option<Verdict>,
    ) {
        if !holders.is_empty() {
            self.has_come(user);
        } else if verdict.is_some()
            && let Some(awaited) = self.lookups.awaited.get_mut(user)
        {
            awaited.looks = awaited.looks.saturating_add(1);
            let pause = Duration::from_secs(1 << awaited.looks.min(4));
            let pause = pause.min(Duration::from_secs(10));
            // Those who were looked for together are not for ever.
            let jitter = self.lookups.next_ask.wrapping_add(user.1.len() as u64) % 100;
            let jitter = pause / 1000 * u32::try_from(jitter).unwrap_or_default();
            self.lookups.await_at(user, self.now + pause + jitter);
        }
    }

    /// A user has come, here or elsewhere.
    pub(in crate::cluster::machine) fn has_come(&mut self, user: &User) {
        if self.lookups.forget_awaited(user) {
            self.act(Action::Come(user.clone()));
        }
    }

    /// Who is waited for may be where nobody looked: all are looked for once more.
    pub(in crate::cluster::machine) fn look_for_all(&mut self) {
        let users: Vec<User> = self.lookups.awaited.keys().cloned().collect();
        for user in users {
            self.lookups.await_at(&user, self.now);
        }
    }

    pub(super) fn look_for_awaited(&mut self) {
        const SECOND: Duration = Duration::from_secs(1);
        while let Some((at, user)) = self.lookups.due.first().cloned()
            && at <= self.now
        {
            if self.now >= self.lookups.second.0 + SECOND {
                self.lookups.second = (self.now, 0);
            }
            if self.lookups.second.1 >= self.settings.looks_per_second {
                return;
            }
            self.lookups.second.1 += 1;
            self.lookups.due.pop_first();
            if let Some(awaited) = self.lookups.awaited.get(&user) {
                let shard = awaited.shard;
                self.look(&user, shard, (AWAITED, Need::Found));
            }
        }
    }
}
