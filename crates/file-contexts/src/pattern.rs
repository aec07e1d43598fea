//! All patterns of a policy at once: one lazy automaton, and a backtracking engine for the rest.

use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use crate::dialect;
use crate::literal;
use crate::sources::SourceFile;
use crate::spec::{ParseError, Problem, Spec};

/// Memory for the automaton's description; Fedora's and Debian's policies need a few MiB.
const NFA_LIMIT: usize = 64 << 20;

/// Memory for the automaton's states, per thread that looks up at the same time.
const CACHE_LIMIT: usize = 16 << 20;

/// Steps of the backtracking engine per look-up and pattern, after which the pattern does not match
/// (libselinux treats its engine's limit the same way).
const BACKTRACK_LIMIT: usize = 100_000;

/// Patterns for the backtracking engine. Known policies have none.
const BACKTRACKING_PATTERNS: usize = 256;

type CachePool = Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>>;

/// The patterns of a policy, each known by its rank: the order in which libselinux read it.
pub(crate) struct Patterns {
    automaton: DFA,
    caches: CachePool,
    /// Rank and stem of each pattern of the automaton.
    members: Vec<Member>,
    backtracking: Vec<(fancy_regex::Regex, Member)>,
}

struct Member {
    rank: usize,
    stem: Vec<u8>,
}

impl Patterns {
    /// Compiles the patterns, given with their ranks.
    pub(crate) fn compile<'a>(
        specs: impl Iterator<Item = (usize, Spec<'a>)>,
    ) -> Result<Self, ParseError> {
        let mut expressions = Vec::new();
        let mut members = Vec::new();
        let mut backtracking = Vec::new();
        let mut last = None;
        for (rank, spec) in specs {
            let member = Member {
                rank,
                stem: literal::stem(spec.pattern),
            };
            match automaton_expression(spec.pattern) {
                Some(expression) => {
                    expressions.push(expression);
                    members.push(member);
                }
                None if backtracking.len() < BACKTRACKING_PATTERNS => {
                    backtracking.push((backtracking_expression(&spec)?, member));
                }
                None => return Err(spec.error(Problem::TooComplex)),
            }
            last = Some(spec);
        }
        let automaton = build(&expressions).ok_or_else(|| too_complex(last))?;
        let maker = automaton.clone();
        let caches = Pool::new(Box::new(move || maker.create_cache()) as Box<_>);
        Ok(Self {
            automaton,
            caches,
            members,
            backtracking,
        })
    }

    /// The highest rank among the patterns that match `path` and satisfy `admits`.
    pub(crate) fn last_match(&self, path: &[u8], admits: impl Fn(usize) -> bool) -> Option<usize> {
        let automaton = self.automaton_match(path, &admits);
        let backtracking = self
            .backtracking
            .iter()
            .filter(|(_, member)| automaton.is_none_or(|rank| rank < member.rank))
            .filter(|(_, member)| admits(member.rank) && path.starts_with(&member.stem))
            .filter(|(expression, _)| {
                expression
                    .is_match(&one_char_per_byte(path))
                    .unwrap_or(false)
            })
            .map(|(_, member)| member.rank)
            .max();
        automaton.max(backtracking)
    }

    fn automaton_match(&self, path: &[u8], admits: &impl Fn(usize) -> bool) -> Option<usize> {
        let mut cache = self.caches.get();
        let cache = &mut *cache;
        let input = Input::new(path).anchored(Anchored::Yes);
        // None of the errors of these calls can occur: the automaton may clear its cache as often as
        // it likes, knows no byte it must give up at, and was built for anchored searches.
        let mut state = self.automaton.start_state_forward(cache, &input).ok()?;
        for byte in path {
            state = self.automaton.next_state(cache, state, *byte).ok()?;
            if state.is_dead() {
                return None;
            }
        }
        let end = self.automaton.next_eoi_state(cache, state).ok()?;
        if !end.is_match() {
            return None;
        }
        (0..self.automaton.match_len(cache, end))
            .filter_map(|index| {
                self.members
                    .get(self.automaton.match_pattern(cache, end, index).as_usize())
            })
            .filter(|member| admits(member.rank) && path.starts_with(&member.stem))
            .map(|member| member.rank)
            .max()
    }
}

/// The pattern in the automaton's dialect, when it can be put into it.
fn automaton_expression(pattern: &str) -> Option<String> {
    let expression = dialect::whole_match(pattern)?;
    syntax::parse_with(&expression, &syntax_config())
        .ok()
        .map(|_| expression)
}

fn backtracking_expression(spec: &Spec<'_>) -> Result<fancy_regex::Regex, ParseError> {
    let refused = |reason| {
        let pattern = spec.pattern.to_owned();
        spec.error(Problem::Pattern { pattern, reason })
    };
    let expression = dialect::backtracking_match(spec.pattern)
        .ok_or_else(|| refused("it is broken or uses rare syntax".to_owned()))?;
    fancy_regex::RegexBuilder::new(&expression)
        .backtrack_limit(BACKTRACK_LIMIT)
        .delegate_size_limit(NFA_LIMIT / BACKTRACKING_PATTERNS)
        .build()
        .map_err(|error| refused(error.to_string()))
}

fn syntax_config() -> syntax::Config {
    syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .dot_matches_new_line(true)
}

/// The automaton of all expressions; `None` when they need more memory than the limit. (Each was
/// parsed before, so nothing else can be wrong with them.)
fn build(expressions: &[String]) -> Option<DFA> {
    let nfa = thompson::Config::new()
        .utf8(false)
        .which_captures(thompson::WhichCaptures::None)
        .nfa_size_limit(Some(NFA_LIMIT));
    let dfa = DFA::config()
        .match_kind(MatchKind::All)
        .cache_capacity(CACHE_LIMIT)
        .skip_cache_capacity_check(true)
        .minimum_cache_clear_count(None);
    let mut builder = DFA::builder();
    builder.syntax(syntax_config()).thompson(nfa).configure(dfa);
    builder.build_many(expressions).ok()
}

fn too_complex(last: Option<Spec<'_>>) -> ParseError {
    let nowhere = ParseError {
        file: SourceFile::Base,
        line: 0,
        problem: Problem::TooComplex,
    };
    last.map_or(nowhere, |spec| spec.error(Problem::TooComplex))
}

/// The path for an engine that takes text only: each byte becomes the character of the same number.
/// Specifications are ASCII, so nothing else can be meant by a byte above 127 than "some byte".
fn one_char_per_byte(path: &[u8]) -> String {
    path.iter().map(|byte| char::from(*byte)).collect()
}
