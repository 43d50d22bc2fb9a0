//! What can be seen of the world, and what has to be so when it rests.

use super::*;

impl World {
    /// Whether the life of a node stands in the registry.
    pub(in crate::cluster::machine::tests) fn lives_at(&self, node: usize) -> bool {
        self.registry.boots.contains_key(&*node.to_string())
    }

    pub(in crate::cluster::machine::tests) fn own(&self, node: usize) -> Option<Incarnation> {
        self.nodes[node].machine.members.own()
    }

    pub(in crate::cluster::machine::tests) fn machine(&self, node: usize) -> &Machine {
        &self.nodes[node].machine
    }

    pub(in crate::cluster::machine::tests) fn view(&self) -> Arc<View> {
        self.registry.view()
    }

    pub(in crate::cluster::machine::tests) fn links(&self, node: usize) -> Vec<u64> {
        self.nodes[node].links.keys().copied().collect()
    }

    pub(in crate::cluster::machine::tests) fn is_served(&self, node: usize) -> bool {
        self.nodes[node].links.values().any(|link| link.is_served)
    }

    pub(in crate::cluster::machine::tests) fn notes(&self, node: usize) -> &[Note] {
        &self.nodes[node].notes
    }

    /// The links that stand in the store.
    pub(in crate::cluster::machine::tests) fn claimed(&self) -> Vec<u64> {
        let mut links: Vec<u64> = self
            .store
            .record
            .claims
            .iter()
            .map(|claim| claim.id.link)
            .collect();
        links.sort_unstable();
        links
    }

    /// Whether a link of this node stands in the store, of its present or last life.
    pub(in crate::cluster::machine::tests) fn claims(&self, node: usize) -> bool {
        let own = self.own(node);
        let mut claims = self.store.record.claims.iter();
        claims.any(|claim| Some(claim.id.incarnation) == own)
    }

    /// After everything has been quiet for long enough.
    pub(in crate::cluster::machine::tests) fn check_rest(&self) {
        for (number, node) in self.nodes.iter().enumerate() {
            if node.state != Up::Runs {
                continue;
            }
            assert!(
                node.tickets.is_empty(),
                "a push at node {number} waits for ever"
            );
            for (id, link) in &node.links {
                assert!(link.is_served, "link {id} of node {number} is not served");
                let own = node.machine.members.own().expect("it lives");
                let claim = ClaimId {
                    incarnation: own,
                    link: *id,
                };
                assert!(
                    self.store
                        .record
                        .claims
                        .iter()
                        .any(|found| found.id == claim),
                    "link {id} of node {number} is not in the store"
                );
            }
        }
        let links = self.nodes.iter().filter(|node| node.state == Up::Runs);
        let mut devices = BTreeMap::<_, usize>::new();
        for link in links.flat_map(|node| node.links.values()) {
            *devices.entry(link.device).or_default() += 1;
        }
        assert!(
            devices.values().all(|links| *links <= 1),
            "a device has several links: {devices:?}"
        );
        let _ = &self.settings;
    }
}
