//! All ways in which runs, crashes and others can take turns.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use super::act::{Outcome, act};
use super::actor::{Actor, Ending, MAX_LOST, Part, Parts, Phase};
use super::check::{Same, check_world};
use super::effect::{Decision, Effect, Planner, plan};
use super::scenario::Scenario;
use super::world::{World, hash_of};

/// The order in which the shipped observer reads; the quarantine with the target, which does for runs that
/// keep no row out.
pub const REVERSE: &[Part] = &[Part::Marks, Part::Audit, Part::Target, Part::Inputs];

/// The order in which the shipped observer reads.
pub const EACH: &[Part] = &[Part::Marks, Part::Audit, Part::Quarantine, Part::Target, Part::Inputs];

/// Moves on one way: more than any scenario here takes, and few enough for the stack.
const MAX_PATH: usize = 500;

/// What an exploration came upon.
#[derive(Debug, Default)]
pub struct Found {
    pub states: usize,
    pub worlds: usize,
    pub cases: BTreeSet<char>,
    pub endings: BTreeSet<char>,
}

/// Tables and runs at one instant.
#[derive(Clone)]
struct State {
    world: World,
    actors: Vec<Actor>,
    /// Crashes and lost answers that may still come.
    faults: u8,
}

impl State {
    fn key(&self) -> u64 {
        let mut actors: Vec<u64> = self.actors.iter().map(Actor::key).collect();
        // Runs that were started alike and have come equally far are the same.
        actors.sort_unstable();
        hash_of(&(self.world.key(), actors, self.faults))
    }
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    Go(usize),
    /// The commit is made, and the run does not learn of it.
    LoseAnswer(usize),
    /// The commit is not made, and the run does not learn whether it was.
    LoseRequest(usize),
    CrashBefore(usize),
    CrashAfter(usize),
    Other(usize),
}

/// An exploration of one scenario.
pub struct Explorer<'a> {
    pub scenario: &'a Scenario,
    planner: Planner<'a>,
    order: &'static [Part],
    decisions: HashMap<u64, Rc<Decision>>,
    seen: HashSet<u64>,
    on_path: HashSet<u64>,
    /// Worlds that are checked, with a fresh run from there.
    worlds: HashSet<u64>,
    ends: BTreeSet<String>,
    found: Found,
    path: Vec<String>,
    /// A run is under way that nobody interrupts: it is no part of the exploration.
    pub aside: bool,
}

impl<'a> Explorer<'a> {
    pub fn new(scenario: &'a Scenario, planner: Planner<'a>, order: &'static [Part]) -> Self {
        Self {
            scenario,
            planner,
            order,
            decisions: HashMap::new(),
            seen: HashSet::new(),
            on_path: HashSet::new(),
            worlds: HashSet::new(),
            ends: BTreeSet::new(),
            found: Found::default(),
            path: Vec::new(),
            aside: false,
        }
    }

    /// Goes all ways.
    ///
    /// # Errors
    /// The first thing that is wrong, with the way that led there.
    pub fn exhaust(mut self) -> Result<Found, String> {
        self.ends = self.expected_ends()?;
        let state = self.begin();
        self.visit(&state).map_err(|problem| self.told(&problem))?;
        self.finish()
    }

    /// Goes `rounds` ways, each move chosen by `choose` from so many.
    ///
    /// # Errors
    /// As [`Self::exhaust`].
    pub fn sample(mut self, rounds: u32, choose: &mut dyn FnMut(usize) -> usize) -> Result<Found, String> {
        self.ends = self.expected_ends()?;
        for _ in 0..rounds {
            self.path.clear();
            let mut state = self.begin();
            self.seen.insert(state.key());
            loop {
                let moves = Self::moves(&state);
                if self.path.len() > MAX_PATH {
                    return Err(self.told("the runs do not come to an end"));
                }
                if moves.is_empty() {
                    break;
                }
                let step = moves[choose(moves.len())];
                self.path.push(format!("{step:?}"));
                state = match self.after(&state, step) {
                    Ok(Some(next)) => next,
                    Ok(None) => continue,
                    Err(problem) => return Err(self.told(&problem)),
                };
                if self.seen.insert(state.key()) {
                    self.check(&state).map_err(|problem| self.told(&problem))?;
                }
            }
        }
        self.finish()
    }

    fn begin(&self) -> State {
        let actors = self.scenario.runs.iter().map(|start| Actor::new(*start)).collect();
        State { world: self.scenario.world.clone(), actors, faults: self.scenario.faults }
    }

    fn told(&self, problem: &str) -> String {
        format!("{}: {problem}\nafter {}", self.scenario.name, self.path.join("\n      "))
    }

    fn finish(mut self) -> Result<Found, String> {
        self.found.states = self.seen.len();
        self.found.worlds = self.worlds.len();
        let wanted: BTreeSet<char> = self.scenario.reaches.chars().collect();
        let missing: Vec<&char> = wanted.difference(&self.found.cases).collect();
        if !missing.is_empty() {
            return Err(format!("{}: never came to cases {missing:?}", self.scenario.name));
        }
        Ok(self.found)
    }

    fn visit(&mut self, state: &State) -> Result<(), String> {
        let key = state.key();
        if !self.seen.insert(key) {
            let in_circles = self.on_path.contains(&key);
            return if in_circles { Err("the runs go round in circles".to_owned()) } else { Ok(()) };
        }
        if self.path.len() > MAX_PATH {
            return Err("the runs do not come to an end".to_owned());
        }
        self.check(state)?;
        self.on_path.insert(key);
        for step in Self::moves(state) {
            self.path.push(format!("{step:?}"));
            if let Some(next) = self.after(state, step)? {
                self.visit(&next)?;
            }
            self.path.pop();
        }
        self.on_path.remove(&key);
        Ok(())
    }

    fn moves(state: &State) -> Vec<Move> {
        let mut moves = Vec::new();
        for (index, actor) in state.actors.iter().enumerate() {
            match &actor.phase {
                Phase::Ended(_) => {}
                Phase::Act(decision, _)
                    if state.faults > 0 && matches!(decision.effect, Effect::Commit(_)) =>
                {
                    moves.extend([Move::Go(index), Move::LoseAnswer(index), Move::LoseRequest(index)]);
                    moves.extend([Move::CrashBefore(index), Move::CrashAfter(index)]);
                }
                _ => moves.push(Move::Go(index)),
            }
        }
        if !moves.is_empty() {
            moves.extend((0..state.world.events.len()).map(Move::Other));
        }
        moves
    }

    /// The state after a move; `None` where the move cannot be made.
    fn after(&mut self, state: &State, step: Move) -> Result<Option<State>, String> {
        let mut next = state.clone();
        let (Move::Go(index)
        | Move::LoseAnswer(index)
        | Move::LoseRequest(index)
        | Move::CrashBefore(index)
        | Move::CrashAfter(index)
        | Move::Other(index)) = step;
        if let Move::Other(_) = step {
            let event = next.world.events.remove(index);
            self.note(&format!("{event:?}"));
            return Ok(event.happen(&mut next.world).then_some(next));
        }
        let State { world, actors, faults } = &mut next;
        let actor = &mut actors[index];
        if step == Move::Go(index) {
            self.go(world, actor)?;
            return Ok(Some(next));
        }
        *faults -= 1;
        let Phase::Act(decision, _) = actor.phase.clone() else { unreachable!("only commits are lost") };
        if matches!(step, Move::LoseAnswer(_) | Move::CrashAfter(_))
            && !matches!(act(world, actor, &decision.effect)?, Outcome::Made)
        {
            return Ok(None);
        }
        match step {
            Move::LoseAnswer(_) | Move::LoseRequest(_) => actor.phase = Actor::look(),
            _ => *actor = Actor::new(actor.start),
        }
        Ok(Some(next))
    }

    fn note(&mut self, text: &str) {
        if let Some(last) = self.path.last_mut().filter(|_| !self.aside) {
            last.push(' ');
            last.push_str(text);
        }
    }

    /// One move of a run: a part read, a decision made, or a commit.
    pub fn go(&mut self, world: &mut World, actor: &mut Actor) -> Result<(), String> {
        match actor.phase.clone() {
            Phase::Ended(_) => Ok(()),
            Phase::Look { mut parts, next } => {
                let mut next = next;
                parts.read(self.order[next], world);
                // Inputs hold still once nobody else will do anything: when they are read is all the same.
                if world.events.is_empty() && self.order.get(next + 1) == Some(&Part::Inputs) {
                    next += 1;
                    parts.read(self.order[next], world);
                }
                actor.phase = Phase::Look { parts: parts.clone(), next: next + 1 };
                if next + 1 < self.order.len() {
                    return Ok(());
                }
                let key = hash_of(&(parts.key(), actor.start, actor.memory()));
                let decision = self.decide(&parts, actor, key)?;
                if !self.aside {
                    self.found.cases.insert(decision.letter);
                }
                self.note(&format!("{} decides on {}", actor.start.clock, decision.letter));
                actor.course = Some(decision.course.clone());
                actor.observer = Some(decision.observer.clone());
                actor.phase = Phase::Act(decision, key);
                Ok(())
            }
            Phase::Act(decision, _) => {
                let effect = &decision.effect;
                self.note(&format!("{} does {}", actor.start.clock, decision.letter));
                actor.phase = match (act(world, actor, effect)?, effect) {
                    (_, Effect::End(ending)) => self.end(*ending)?,
                    (Outcome::Gone, _) => self.end(Ending::Retry)?,
                    (Outcome::Lost, _) => {
                        actor.lost += 1;
                        if actor.lost > MAX_LOST {
                            return Err("a run lost more commits than others made".to_owned());
                        }
                        Actor::look()
                    }
                    (Outcome::Made, _) => {
                        if let (Some(course), Some(rejected)) = (&mut actor.course, effect.rejected()) {
                            course.rejected = Some(rejected.clone());
                        }
                        Actor::look()
                    }
                };
                Ok(())
            }
        }
    }

    /// What a run makes of what it read. The same observation is decided on once only.
    fn decide(&mut self, parts: &Parts, actor: &Actor, key: u64) -> Result<Rc<Decision>, String> {
        if let Some(decision) = self.decisions.get(&key) {
            return Ok(Rc::clone(decision));
        }
        let decision = Rc::new(plan(parts, actor, self.planner)?);
        self.decisions.insert(key, Rc::clone(&decision));
        Ok(decision)
    }

    fn end(&mut self, ending: Ending) -> Result<Phase, String> {
        if self.aside {
            return Ok(Phase::Ended(ending));
        }
        self.found.endings.insert(ending.letter());
        if !self.scenario.endings.contains(ending.letter()) {
            return Err(format!("a run ends with {ending:?}, not with one of {}", self.scenario.endings));
        }
        Ok(Phase::Ended(ending))
    }

    /// Checks the tables, and that a fresh run puts them right: so a crash at any instant does no harm.
    fn check(&mut self, state: &State) -> Result<(), String> {
        if !self.worlds.insert(state.world.key()) {
            return Ok(());
        }
        check_world(&state.world, self.scenario)?;
        if matches!(self.scenario.same, Same::Nothing | Same::Open) {
            return Ok(());
        }
        let end = self.closed(state.world.clone())?;
        if !self.ends.contains(&end) {
            let ends: Vec<&str> = self.ends.iter().map(String::as_str).collect();
            return Err(format!(
                "fresh runs from here come to\n{end}\nwhich is none of\n{}",
                ends.join("\nor\n")
            ));
        }
        Ok(())
    }
}
