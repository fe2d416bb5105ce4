;; archetype_invocation: an archetype is called by its name, and comes half of the way.      ABI: sangha-1
;;
;;   strength = strength + (1 − strength) / 2          rounded to six decimals
;;
;; The name is the parameter "archetype", such as {"archetype": "Sage"}; without one it is "Self". An archetype that is not
;; there begins at 0 and so comes with 0.5. Nothing else changes, and no strength ever passes 1.
;;
;;   Sage 0.4                      →  Sage 0.7
;;   no Sage                       →  Sage 0.5
;;   no Sage, and 256 archetypes   →  as before: a state holds no more; the log says so
(module
  (memory (export "memory") 1)
  (data (i32.const 1024) "\"archetype\"")
  (data (i32.const 1056) "\"Self\"")
  (data (i32.const 1088) "{\"state\":{\"archetypes\":{\00")
  (data (i32.const 1152) "}},\"log\":[\"invoked: \00")
  (data (i32.const 1280) "}},\"log\":[\"no room for another archetype: \00")
  (data (i32.const 1408) "\"]}\00")

  ;;@include json.wat

  ;; The name that is called: the parameter where it is a string, else "Self".
  (func $called (param $parameters i32) (result i32)
    (local $name i32)
    (local.set $name (call $member (local.get $parameters) (i32.const 1024)))
    (if (i32.eqz (local.get $name)) (then (return (i32.const 1056))))
    (if (i32.ne (call $byte (local.get $name)) (i32.const 34)) (then (return (i32.const 1056))))
    (local.get $name))

  ;; Half of the way from a strength to 1.
  (func $half_way (param $strength f64) (result f64)
    (f64.add
      (local.get $strength)
      (f64.div (f64.sub (f64.const 1) (local.get $strength)) (f64.const 2))))

  ;; The archetypes in their order, the called one stronger.
  (func $put_archetypes (param $archetypes i32) (param $name i32)
    (local $p i32) (local $value i32)
    (local.set $p (call $first (local.get $archetypes)))
    (block $end
      (loop $next
        (br_if $end (i32.eqz (local.get $p)))
        (local.set $value (call $value (local.get $p)))
        (call $put_name (local.get $p))
        (if (call $same (local.get $p) (local.get $name))
          (then (call $put_level (call $half_way (call $number (local.get $value)))))
          (else (call $put_value (local.get $value))))
        (local.set $p (call $after (call $skip (local.get $value))))
        (br_if $end (i32.eqz (local.get $p)))
        (call $put_byte (i32.const 44))
        (br $next))))

  ;; The called one behind the others, where it was not there.
  (func $put_new (param $archetypes i32) (param $name i32)
    (if (call $first (local.get $archetypes)) (then (call $put_byte (i32.const 44))))
    (call $put_name (local.get $name))
    (call $put_level (call $half_way (f64.const 0))))

  (func (export "execute") (param $input i32) (param $length i32) (result i64)
    (local $before i32) (local $name i32) (local $is_new i32) (local $is_full i32)
    (local.set $before
      (call $member (call $member (local.get $input) (global.get $state)) (global.get $archetypes)))
    (local.set $name (call $called (call $member (local.get $input) (global.get $parameters))))
    (local.set $is_new (i32.eqz (call $member (local.get $before) (local.get $name))))
    (local.set $is_full (i32.ge_u (call $count (local.get $before)) (global.get $entries_max)))

    ;; Room for all of the input, the name twice more, and the text around them.
    (call $begin (i32.add (i32.mul (local.get $length) (i32.const 3)) (i32.const 512)))
    (call $say (i32.const 1088))
    (call $put_archetypes (local.get $before) (local.get $name))
    (if (i32.and (local.get $is_new) (i32.eqz (local.get $is_full)))
      (then (call $put_new (local.get $before) (local.get $name))))
    (call $say
      (select (i32.const 1280) (i32.const 1152) (i32.and (local.get $is_new) (local.get $is_full))))
    (call $put_inside (local.get $name))
    (call $say (i32.const 1408))
    (call $answer)))
