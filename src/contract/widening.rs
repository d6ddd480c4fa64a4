//! Which types of a staging column may be loaded into which types of a target column.
//!
//! Only widenings that lose nothing: every value of the one type has exactly one value of the
//! other, and two values that differ still differ afterwards. Everything else is refused before
//! anything is read, because a value that is rounded or cut on its way would make a row look
//! changed at every load.

use crate::model::types::{DataType, Field};

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widening {
    /// The staging column's type.
    pub from: &'static str,
    /// The types that the target column may have besides the same one.
    pub to: &'static [&'static str],
    /// What holds for the parameters of the types; empty where they have none.
    pub condition: &'static str,
}

/// The widenings that are accepted. A type always loads into itself.
pub const TABLE: &[Widening] = &[
    Widening {
        from: "TINYINT",
        to: &["SMALLINT", "INT", "BIGINT", "DOUBLE", "DECIMAL(p,s)"],
        condition: "p - s >= 3",
    },
    Widening { from: "SMALLINT", to: &["INT", "BIGINT", "DOUBLE", "DECIMAL(p,s)"], condition: "p - s >= 5" },
    Widening { from: "INT", to: &["BIGINT", "DOUBLE", "DECIMAL(p,s)"], condition: "p - s >= 10" },
    Widening { from: "BIGINT", to: &["DECIMAL(p,s)"], condition: "p - s >= 19" },
    Widening { from: "FLOAT", to: &["DOUBLE"], condition: "" },
    Widening { from: "DECIMAL(q,r)", to: &["DECIMAL(p,s)"], condition: "s >= r and p - s >= q - r" },
];

/// Whether a column of type `from` may be loaded into one of type `to`: the types are equal, or
/// [`TABLE`] has the pair. A nested type loads into the same one, whose members may be NULL where its own are not.
#[must_use]
pub fn accepts(from: &DataType, to: &DataType) -> bool {
    use DataType::{Array, Byte, Decimal, Double, Float, Int, Long, Map, Short, Struct};
    match (from, to) {
        (Byte, Short | Int | Long | Double)
        | (Short, Int | Long | Double)
        | (Int, Long | Double)
        | (Float, Double) => true,
        (Decimal(p1, s1), Decimal(p2, s2)) => s2 >= s1 && whole_digits(*p2, *s2) >= whole_digits(*p1, *s1),
        (Array(from), Array(to)) => fits_within(from, to),
        (Map(key, value), Map(to_key, to_value)) => fits_within(key, to_key) && fits_within(value, to_value),
        (Struct(from), Struct(to)) => {
            let fits = |(from, to): (&Field, &Field)| {
                from.name == to.name
                    && (to.nullable || !from.nullable)
                    && fits_within(&from.data_type, &to.data_type)
            };
            from.len() == to.len() && from.iter().zip(to).all(fits)
        }
        (integer, Decimal(p, s)) => digits(integer).is_some_and(|digits| whole_digits(*p, *s) >= digits),
        (from, to) => from == to,
    }
}

/// Whether it may as a part of a nested value: nothing widens there.
fn fits_within(from: &DataType, to: &DataType) -> bool {
    if from.is_nested() { accepts(from, to) } else { from == to }
}

/// How many digits an integer type's values have at most; none for other types.
fn digits(integer: &DataType) -> Option<u8> {
    match integer {
        DataType::Byte => Some(3),
        DataType::Short => Some(5),
        DataType::Int => Some(10),
        DataType::Long => Some(19),
        _ => None,
    }
}

/// How many digits a decimal type has before the point.
fn whole_digits(precision: u8, scale: u8) -> u8 {
    precision.saturating_sub(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simple_types() -> Vec<DataType> {
        use DataType::*;
        vec![Boolean, Byte, Short, Int, Long, Float, Double, Date, Timestamp, TimestampNtz, String, Binary]
    }

    #[test]
    fn every_pair_of_plain_types_is_accepted_exactly_if_equal_or_in_the_published_table() {
        for from in simple_types() {
            for to in simple_types() {
                let listed = TABLE
                    .iter()
                    .any(|row| row.from == from.to_string() && row.to.contains(&to.to_string().as_str()));
                assert_eq!(accepts(&from, &to), from == to || listed, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_decimal_takes_an_integer_if_and_only_if_the_published_number_of_digits_fits() {
        let cases = [(DataType::Byte, 3), (DataType::Short, 5), (DataType::Int, 10), (DataType::Long, 19)];
        for (integer, digits) in cases {
            let row = TABLE.iter().find(|row| row.from == integer.to_string()).unwrap();
            assert_eq!(row.condition, format!("p - s >= {digits}"));
            assert!(row.to.contains(&"DECIMAL(p,s)"));
            assert!(accepts(&integer, &DataType::Decimal(digits, 0)));
            assert!(accepts(&integer, &DataType::Decimal(digits + 2, 2)));
            assert!(!accepts(&integer, &DataType::Decimal(digits - 1, 0)));
            assert!(!accepts(&integer, &DataType::Decimal(digits + 1, 2)));
        }
    }

    #[test]
    fn a_decimal_widens_only_if_neither_side_of_the_point_shrinks() {
        let from = DataType::Decimal(10, 2);
        for (precision, scale, accepted) in [
            (10, 2, true),
            (12, 2, true),
            (12, 4, true),
            (11, 4, false),
            (10, 1, false),
            (9, 2, false),
            (38, 2, true),
        ] {
            assert_eq!(
                accepts(&from, &DataType::Decimal(precision, scale)),
                accepted,
                "({precision},{scale})"
            );
        }
    }

    #[test]
    fn a_decimal_never_becomes_an_integer_a_float_or_text() {
        for to in simple_types() {
            assert!(!accepts(&DataType::Decimal(3, 0), &to), "{to}");
        }
    }

    #[test]
    fn nested_types_load_into_the_same_type_whose_members_may_be_null() {
        let list = |element| DataType::Array(Box::new(element));
        let of = |name: &str, data_type, nullable| {
            DataType::Struct(vec![Field { name: name.to_owned(), data_type, nullable }])
        };
        let map = |value| DataType::Map(Box::new(DataType::String), Box::new(value));
        assert!(accepts(&list(DataType::Int), &list(DataType::Int)));
        assert!(!accepts(&list(DataType::Int), &list(DataType::Long)));
        assert!(!accepts(&list(DataType::Int), &DataType::Int));
        let strict = of("a", DataType::Int, false);
        let loose = of("a", DataType::Int, true);
        assert!(accepts(&list(strict.clone()), &list(loose.clone())));
        assert!(!accepts(&map(loose.clone()), &map(strict.clone())));
        assert!(accepts(&map(strict.clone()), &map(loose)));
        assert!(!accepts(&strict, &of("b", DataType::Int, true)));
        assert!(!accepts(&strict, &of("a", DataType::Long, true)));
    }
}
