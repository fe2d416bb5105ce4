  ;; ---- json.wat: what the sangha-1 rituals in WAT share -----------------------------------------------------------
  ;;
  ;; Reads JSON where it lies and writes the answer behind it. The input is Sangha's own and therefore well-formed: there is
  ;; no other error than the end of the memory. A value is known by the pointer to its first byte. Names are compared and
  ;; copied as they are written (quotes, escapes and all), so no text is ever decoded. Numbers are levels in [0, 1]. An answer
  ;; names only what it changes of the state; the rest stays. Constants lie below 4096: from 0 the names of the members, from
  ;; 1024 what the ritual itself says (each text ended by a NUL).

  (global $state i32 (i32.const 0))
  (data (i32.const 0) "\"state\"")
  (global $parameters i32 (i32.const 16))
  (data (i32.const 16) "\"parameters\"")
  (global $archetypes i32 (i32.const 32))
  (data (i32.const 32) "\"archetypes\"")
  (global $energies i32 (i32.const 48))
  (data (i32.const 48) "\"energies\"")
  (global $integrations i32 (i32.const 64))
  (data (i32.const 64) "\"integrations\"")
  (global $transformations i32 (i32.const 80))
  (data (i32.const 80) "\"transformations\"")
  (global $entries_max i32 (i32.const 256))    ;; a state has at most so many of each

  (global $heap (mut i32) (i32.const 4096))
  (global $out (mut i32) (i32.const 0))        ;; where the answer begins
  (global $at (mut i32) (i32.const 0))         ;; where it goes on

  ;; So many bytes that nobody else has. The memory grows as needed; where it may not, the run ends in a trap.
  (func $alloc (export "alloc") (param $bytes i32) (result i32)
    (local $start i32) (local $missing i32)
    (local.set $start (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get $bytes)))
    (local.set $missing
      (i32.sub
        (i32.shr_u (i32.add (global.get $heap) (i32.const 65535)) (i32.const 16))
        (memory.size)))
    (if (i32.gt_s (local.get $missing) (i32.const 0))
      (then (if (i32.eq (memory.grow (local.get $missing)) (i32.const -1)) (then unreachable))))
    (local.get $start))

  ;; ---- reading ----

  (func $byte (param $p i32) (result i32) (i32.load8_u (local.get $p)))

  ;; The first byte from here that is no white space.
  (func $blanks (param $p i32) (result i32)
    (loop $next
      (if (i32.le_u (call $byte (local.get $p)) (i32.const 32))
        (then
          (local.set $p (i32.add (local.get $p) (i32.const 1)))
          (br $next))))
    (local.get $p))

  ;; From the opening quote of a string to the byte after its closing one.
  (func $skip_string (param $p i32) (result i32)
    (loop $next
      (local.set $p (i32.add (local.get $p) (i32.const 1)))
      (if (i32.eq (call $byte (local.get $p)) (i32.const 92))            ;; a backslash: the byte after it is no end
        (then
          (local.set $p (i32.add (local.get $p) (i32.const 1)))
          (br $next)))
      (br_if $next (i32.ne (call $byte (local.get $p)) (i32.const 34))))
    (i32.add (local.get $p) (i32.const 1)))

  ;; From the first byte of any value to the byte after it. Arrays and objects are left when as many ends were seen as starts;
  ;; numbers and words end at the first byte that cannot belong to them.
  (func $skip (param $p i32) (result i32)
    (local $c i32) (local $depth i32)
    (loop $next
      (local.set $c (call $byte (local.get $p)))
      (if (i32.eq (local.get $c) (i32.const 34))
        (then (local.set $p (call $skip_string (local.get $p))))
        (else
          (if (i32.eq (i32.or (local.get $c) (i32.const 32)) (i32.const 123))      ;; [ or {
            (then (local.set $depth (i32.add (local.get $depth) (i32.const 1)))))
          (if (i32.eq (i32.or (local.get $c) (i32.const 32)) (i32.const 125))      ;; ] or }
            (then (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))))
          (local.set $p (i32.add (local.get $p) (i32.const 1)))))
      (br_if $next (local.get $depth))
      ;; Outside of brackets only a number or a word goes on.
      (if (call $is_plain (local.get $c))
        (then (br_if $next (call $is_plain (call $byte (local.get $p)))))))
    (local.get $p))

  ;; Whether a byte can be part of a number or of true, false, null.
  (func $is_plain (param $c i32) (result i32)
    (i32.or
      (i32.and
        (i32.ge_u (local.get $c) (i32.const 43))                                   ;; + - . 0 … 9, but no comma
        (i32.and (i32.le_u (local.get $c) (i32.const 57)) (i32.ne (local.get $c) (i32.const 44))))
      (i32.or
        (i32.eq (local.get $c) (i32.const 69))                                     ;; E
        (i32.and (i32.ge_u (local.get $c) (i32.const 97)) (i32.le_u (local.get $c) (i32.const 122))))))

  ;; The first element of an array (the first name of an object), or 0 where it is empty.
  (func $first (param $p i32) (result i32)
    (local.set $p (call $blanks (i32.add (local.get $p) (i32.const 1))))
    (if (i32.eq (i32.or (call $byte (local.get $p)) (i32.const 32)) (i32.const 125)) (then (return (i32.const 0))))
    (local.get $p))

  ;; From the byte after an element to the next element, or 0 at the end.
  (func $after (param $p i32) (result i32)
    (local.set $p (call $blanks (local.get $p)))
    (if (i32.ne (call $byte (local.get $p)) (i32.const 44)) (then (return (i32.const 0))))
    (call $blanks (i32.add (local.get $p) (i32.const 1))))

  ;; From a name in an object to its value.
  (func $value (param $name i32) (result i32)
    (call $blanks (i32.add (call $blanks (call $skip_string (local.get $name))) (i32.const 1))))

  ;; Whether two strings are written alike: byte by byte, until they differ or until the closing quote of both.
  (func $same (param $a i32) (param $b i32) (result i32)
    (local $c i32) (local $escaped i32)
    (loop $next
      (local.set $a (i32.add (local.get $a) (i32.const 1)))
      (local.set $b (i32.add (local.get $b) (i32.const 1)))
      (local.set $c (call $byte (local.get $a)))
      (if (i32.ne (local.get $c) (call $byte (local.get $b))) (then (return (i32.const 0))))
      (if (local.get $escaped)
        (then
          (local.set $escaped (i32.const 0))
          (br $next)))
      (local.set $escaped (i32.eq (local.get $c) (i32.const 92)))
      (br_if $next (i32.ne (local.get $c) (i32.const 34))))
    (i32.const 1))

  ;; The value of a member of an object, or 0.
  (func $member (param $object i32) (param $name i32) (result i32)
    (local $p i32)
    (local.set $p (call $first (local.get $object)))
    (loop $next
      (if (i32.eqz (local.get $p)) (then (return (i32.const 0))))
      (if (call $same (local.get $p) (local.get $name))
        (then (return (call $value (local.get $p)))))
      (local.set $p (call $after (call $skip (call $value (local.get $p)))))
      (br $next))
    unreachable)

  ;; Whether an array of names has this one.
  (func $has (param $array i32) (param $name i32) (result i32)
    (local $p i32)
    (local.set $p (call $first (local.get $array)))
    (loop $next
      (if (i32.eqz (local.get $p)) (then (return (i32.const 0))))
      (if (call $same (local.get $p) (local.get $name))
        (then (return (i32.const 1))))
      (local.set $p (call $after (call $skip (local.get $p))))
      (br $next))
    unreachable)

  ;; How many elements an array has (an object: how many members).
  (func $count (param $p i32) (result i32)
    (local $found i32) (local $is_object i32)
    (local.set $is_object (i32.eq (call $byte (local.get $p)) (i32.const 123)))
    (local.set $p (call $first (local.get $p)))
    (loop $next
      (if (i32.eqz (local.get $p)) (then (return (local.get $found))))
      (local.set $found (i32.add (local.get $found) (i32.const 1)))
      (if (local.get $is_object) (then (local.set $p (call $value (local.get $p)))))
      (local.set $p (call $after (call $skip (local.get $p))))
      (br $next))
    unreachable)

  ;; The number that is written here: digits, a fraction, an exponent. All digits make one whole number, which is then
  ;; moved by powers of ten; more digits than a double holds change nothing that six decimals could show.
  (func $number (param $p i32) (result f64)
    (local $c i32) (local $value f64) (local $power i32) (local $step i32) (local $exponent i32) (local $sign i32)
    (block $end
      (loop $digits
        (local.set $c (call $byte (local.get $p)))
        (local.set $p (i32.add (local.get $p) (i32.const 1)))
        (if (i32.eq (local.get $c) (i32.const 46))                                 ;; the point: from here each digit is a tenth
          (then (local.set $step (i32.const -1)) (br $digits)))
        (br_if $end (i32.gt_u (i32.sub (local.get $c) (i32.const 48)) (i32.const 9)))
        (local.set $value
          (f64.add
            (f64.mul (local.get $value) (f64.const 10))
            (f64.convert_i32_u (i32.sub (local.get $c) (i32.const 48)))))
        (local.set $power (i32.add (local.get $power) (local.get $step)))
        (br $digits)))
    (if (i32.eq (i32.or (local.get $c) (i32.const 32)) (i32.const 101))            ;; e or E
      (then
        (local.set $sign (i32.const 1))
        (block $done
          (loop $digits
            (local.set $c (call $byte (local.get $p)))
            (local.set $p (i32.add (local.get $p) (i32.const 1)))
            (if (i32.eq (local.get $c) (i32.const 45)) (then (local.set $sign (i32.const -1)) (br $digits)))
            (if (i32.eq (local.get $c) (i32.const 43)) (then (br $digits)))
            (br_if $done (i32.gt_u (i32.sub (local.get $c) (i32.const 48)) (i32.const 9)))
            (local.set $exponent
              (i32.add
                (i32.mul (local.get $exponent) (i32.const 10))
                (i32.sub (local.get $c) (i32.const 48))))
            (br $digits)))
        (local.set $power (i32.add (local.get $power) (i32.mul (local.get $sign) (local.get $exponent))))))
    (loop $smaller
      (if (i32.lt_s (local.get $power) (i32.const 0))
        (then
          (local.set $value (f64.div (local.get $value) (f64.const 10)))
          (local.set $power (i32.add (local.get $power) (i32.const 1)))
          (br $smaller))))
    (loop $greater
      (if (i32.gt_s (local.get $power) (i32.const 0))
        (then
          (local.set $value (f64.mul (local.get $value) (f64.const 10)))
          (local.set $power (i32.sub (local.get $power) (i32.const 1)))
          (br $greater))))
    (local.get $value))

  ;; ---- writing ----

  ;; Begin an answer that will not be longer than so many bytes.
  (func $begin (param $most i32)
    (global.set $out (call $alloc (local.get $most)))
    (global.set $at (global.get $out)))

  (func $put (param $from i32) (param $end i32)
    (memory.copy (global.get $at) (local.get $from) (i32.sub (local.get $end) (local.get $from)))
    (global.set $at (i32.add (global.get $at) (i32.sub (local.get $end) (local.get $from)))))

  ;; A whole JSON value as it stands in the input.
  (func $put_value (param $p i32) (call $put (local.get $p) (call $skip (local.get $p))))

  (func $put_byte (param $c i32)
    (i32.store8 (global.get $at) (local.get $c))
    (global.set $at (i32.add (global.get $at) (i32.const 1))))

  ;; A text of our own, up to its NUL.
  (func $say (param $text i32)
    (local $end i32)
    (local.set $end (local.get $text))
    (loop $next
      (if (call $byte (local.get $end))
        (then
          (local.set $end (i32.add (local.get $end) (i32.const 1)))
          (br $next))))
    (call $put (local.get $text) (local.get $end)))

  ;; The name of a member of the answer, and the colon.
  (func $put_name (param $name i32)
    (call $put (local.get $name) (call $skip_string (local.get $name)))
    (call $put_byte (i32.const 58)))

  ;; What stands between the quotes of a string.
  (func $put_inside (param $string i32)
    (call $put
      (i32.add (local.get $string) (i32.const 1))
      (i32.sub (call $skip_string (local.get $string)) (i32.const 1))))

  ;; A level in [0, 1], rounded to six decimals.
  (func $put_level (param $level f64)
    (local $millionths i32) (local $unit i32)
    (local.set $millionths (i32.trunc_f64_u (f64.nearest (f64.mul (local.get $level) (f64.const 1000000)))))
    (local.set $unit (i32.const 1000000))
    (loop $next
      (call $put_byte (i32.add (i32.const 48) (i32.div_u (local.get $millionths) (local.get $unit))))
      (local.set $millionths (i32.rem_u (local.get $millionths) (local.get $unit)))
      (if (i32.eq (local.get $unit) (i32.const 1000000)) (then (call $put_byte (i32.const 46))))
      (local.set $unit (i32.div_u (local.get $unit) (i32.const 10)))
      (br_if $next (local.get $unit))))

  ;; The answer, as `execute` gives it back: the pointer in the upper half, the length in the lower one.
  (func $answer (result i64)
    (i64.or
      (i64.shl (i64.extend_i32_u (global.get $out)) (i64.const 32))
      (i64.extend_i32_u (i32.sub (global.get $at) (global.get $out)))))
  ;; ---- the end of json.wat ----------------------------------------------------------------------------------------
