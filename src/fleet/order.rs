//! Which pipeline waits for which. Pure.

use std::path::PathBuf;

use crate::config::Location;
use crate::error::{Error, Result};

/// A pipeline among others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name; the file's, where it cannot be understood.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// The tables that it reads.
    pub reads: Vec<Location>,
    /// Its target.
    pub writes: Option<Location>,
    /// The part of the machine's memory that it may use, if it is a part.
    pub percent: Option<u8>,
}

impl Member {
    /// Whether this one reads what the other writes.
    #[must_use]
    pub fn waits_for(&self, other: &Self) -> bool {
        self.name != other.name
            && other.writes.as_ref().is_some_and(|table| self.reads.iter().any(|read| read.is_same(table)))
    }
}

/// The members, each after all that it waits for, else by name.
///
/// # Errors
/// Fails where two have one name, or some wait for each other.
pub(super) fn ordered(mut members: Vec<Member>) -> Result<Vec<Member>> {
    members.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(two) = members.windows(2).find(|two| two[0].name == two[1].name) {
        return Err(Error::usage(format!(
            "{} and {} have one name, `{}`",
            two[0].file.display(),
            two[1].file.display(),
            two[0].name
        ))
        .hint("tables know a pipeline's batches by its name: give each its own"));
    }
    let mut ordered: Vec<Member> = Vec::with_capacity(members.len());
    while !members.is_empty() {
        let free = (0..members.len()).find(|at| !members.iter().any(|other| members[*at].waits_for(other)));
        let Some(free) = free else {
            let names: Vec<String> = members.iter().map(|member| format!("`{}`", member.name)).collect();
            return Err(Error::usage(format!(
                "{} wait for each other: each reads what another writes",
                names.join(", ")
            ))
            .hint("run them one by one, or take one out with `--select`"));
        };
        ordered.push(members.remove(free));
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, reads: &[&str], writes: &str) -> Member {
        let place = |name: &str| Location::named(&format!("/lake/{name}")).unwrap();
        Member {
            name: name.to_owned(),
            file: PathBuf::from(format!("{name}.yaml")),
            reads: reads.iter().map(|name| place(name)).collect(),
            writes: Some(place(writes)),
            percent: Some(60),
        }
    }

    fn names(members: Vec<Member>) -> Vec<String> {
        ordered(members).unwrap().into_iter().map(|member| member.name).collect()
    }

    #[test]
    fn who_reads_what_another_writes_comes_after_it() {
        let members = vec![
            member("a_mart", &["orders", "customers"], "mart"),
            member("b_orders", &["staging"], "orders"),
            member("c_customers", &["raw"], "customers"),
        ];
        let mut spelled = members.clone();
        spelled[0].reads = vec![Location::named("file:///lake/orders").unwrap()];
        assert_eq!(names(spelled)[0], "b_orders");
        assert_eq!(names(members), ["b_orders", "c_customers", "a_mart"]);
    }

    #[test]
    fn two_of_one_name_and_those_in_a_circle_are_told() {
        let twins = vec![member("a", &["x"], "y"), member("a", &["x"], "z")];
        assert!(ordered(twins).unwrap_err().to_string().contains("have one name, `a`"));
        let circle = vec![member("a", &["x"], "y"), member("b", &["y"], "x"), member("c", &["s"], "t")];
        let told = ordered(circle).unwrap_err().to_string();
        assert!(told.contains("`a`, `b` wait for each other"), "{told}");
    }
}
