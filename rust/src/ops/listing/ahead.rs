//! Where a listing may be cut: a name about so many keys ahead, guessed from those seen so far.
//!
//! Names are read as numbers in mixed radix: at each place the characters seen there are the digits. From the distance
//! between the first and the last key and how many lie between them follows how far to count on; the carry goes to the left as in an
//! odometer. Pure guessing: whoever cuts there is right with any name, a bad guess only costs a request.

use std::cmp::Ordering;

/// Places of a name that are looked at; what differs behind them is not cut.
const PLACES: usize = 160;
/// Characters told apart at one place.
const CHARACTERS: usize = 128;
/// Places behind the first that differs that are counted with.
const PRECISION: usize = 10;

/// Which characters were seen at which place behind the prefix.
#[derive(Debug, Default)]
pub struct Alphabet(Vec<Vec<char>>);

impl Alphabet {
    pub fn learn(&mut self, name: &str) {
        for (place, c) in name.chars().take(PLACES).enumerate() {
            if place == self.0.len() {
                self.0.push(Vec::new());
            }
            let seen = &mut self.0[place];
            if let Err(at) = seen.binary_search(&c)
                && seen.len() < CHARACTERS
            {
                seen.insert(at, c);
            }
        }
    }

    /// The digits of a place: what was seen there, and what surely belongs to it.
    fn digits(&self, place: usize) -> Vec<char> {
        let seen = self.0.get(place).map(Vec::as_slice).unwrap_or_default();
        let all = |test: fn(&char) -> bool| !seen.is_empty() && seen.iter().all(test);
        if all(char::is_ascii_digit) {
            ('0'..='9').collect()
        } else if all(|c| matches!(c, '0'..='9' | 'a'..='f')) && seen.len() > 4 {
            ('0'..='9').chain('a'..='f').collect()
        } else {
            seen.iter().copied().filter(|c| !c.is_control()).collect()
        }
    }
}

/// A name behind `last` with about `want` keys between them, if `keys` lie between `first` and `last`. All of them without
/// their common prefix. `None` where nothing can be said.
pub fn ahead(first: &str, last: &str, keys: u64, want: u64, alphabet: &Alphabet) -> Option<String> {
    let (first, last): (Vec<char>, Vec<char>) = (first.chars().collect(), last.chars().collect());
    let from = first.iter().zip(&last).position(|(one, other)| one != other)?;
    let places: Vec<Vec<char>> = (from..from + PRECISION).map(|place| alphabet.digits(place)).collect();
    let places: Vec<Vec<char>> = places.into_iter().take_while(|digits| !digits.is_empty()).collect();
    let value = |name: &[char]| {
        let digit =
            |(at, digits): (usize, &Vec<char>)| (rank(digits, name.get(from + at).copied()), digits.len() as u128);
        places.iter().enumerate().map(digit).fold(0, |value, (digit, radix)| value * radix + digit)
    };
    let all: u128 = places.iter().map(|digits| digits.len() as u128).product();
    let (low, high) = (value(&first), value(&last));
    let step = high.checked_sub(low)?.checked_mul(u128::from(want))? / u128::from(keys.max(1));
    let target = high.checked_add(step.max(1))?;
    let (mut carry, mut rest) = (target / all, target % all);
    let mut behind = Vec::new();
    for digits in places.iter().rev() {
        let radix = digits.len() as u128;
        behind.push(digits[usize::try_from(rest % radix).ok()?]);
        rest /= radix;
    }
    let mut name: Vec<char> = last.get(..from)?.to_vec();
    for place in (0..from).rev() {
        if carry == 0 {
            break;
        }
        let digits = alphabet.digits(place);
        if digits.is_empty() {
            return None;
        }
        let radix = digits.len() as u128;
        let sum = rank(&digits, Some(name[place])) + carry;
        name[place] = digits[usize::try_from(sum % radix).ok()?];
        carry = sum / radix;
    }
    if carry > 0 {
        return None;
    }
    name.extend(behind.into_iter().rev());
    (name.as_slice().cmp(&last) == Ordering::Greater).then(|| name.into_iter().collect())
}

fn rank(digits: &[char], c: Option<char>) -> u128 {
    let below = c.map_or(0, |c| digits.partition_point(|digit| *digit < c));
    below.min(digits.len().saturating_sub(1)) as u128
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guess(keys: &[String], seen: usize, want: u64) -> Option<String> {
        let mut alphabet = Alphabet::default();
        keys[..seen].iter().step_by(16).for_each(|key| alphabet.learn(key));
        ahead(&keys[0], &keys[seen - 1], seen as u64, want, &alphabet)
    }

    /// How many keys lie between the last one seen and the guess.
    fn distance(keys: &[String], seen: usize, want: u64) -> usize {
        let guess = guess(keys, seen, want).unwrap();
        keys.partition_point(|key| *key <= guess) - seen
    }

    #[test]
    fn numbers_and_random_names_are_met_nearly() {
        let numbered: Vec<String> = (0..100_000).map(|n| format!("data/{:04}/part-{n:07}.json", n / 1000)).collect();
        let plain: Vec<String> = (0..100_000).map(|n| format!("{n:06}")).collect();
        let mut hex: Vec<String> =
            (0..100_000_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect();
        hex.sort();
        for keys in [numbered, plain, hex] {
            // Of one directory alone nothing can be told about the next ones.
            for seen in [3000, 4500, 7000] {
                let distance = distance(&keys, seen, 16_000);
                assert!((6_000..40_000).contains(&distance), "{}: {distance}", keys[seen]);
            }
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_is_known() {
        let alphabet = Alphabet::default();
        assert_eq!(ahead("a", "a", 1, 10, &alphabet), None);
        assert_eq!(ahead("a", "ab", 2, 10, &alphabet), None);
        let ends: Vec<String> = (0..26).map(|n| char::from(b'a' + n).to_string()).collect();
        assert_eq!(guess(&ends, 26, 100), None, "there is nothing behind z");
    }

    proptest! {
        #[test]
        fn a_guess_lies_behind(keys in prop::collection::btree_set("[a-c0-9é/]{1,6}", 2..60), want in 1..100_000_u64) {
            let keys: Vec<String> = keys.into_iter().collect();
            for seen in 2..keys.len() {
                if let Some(guess) = guess(&keys, seen, want) {
                    prop_assert!(guess > keys[seen - 1], "{guess:?}");
                }
            }
        }
    }
}
