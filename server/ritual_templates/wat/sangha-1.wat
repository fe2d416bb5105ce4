;; {{name}}: opens a transformation, named by the parameter "theme".      ABI: sangha-1
;;
;; The input is {"state": {…}, "parameters": {…}, "intention": "…"}. The answer names only what it changes of the state.
(module
  (memory (export "memory") 1)
  (data (i32.const 1024) "\"theme\"")
  (data (i32.const 1056) "\"a beginning\"")
  (data (i32.const 1088) "{\"state\":{\"transformations\":\00")
  (data (i32.const 1152) "},\"integration_required\":[\00")
  (data (i32.const 1184) "],\"log\":[\"it is under way\"]}\00")
  (data (i32.const 1216) "{\"state\":{},\"log\":[\"it was under way already\"]}\00")

  ;; The parameter "theme" where it is a string, else "a beginning".
  (func $theme (param $parameters i32) (result i32)
    (local $theme i32)
    (local.set $theme (call $member (local.get $parameters) (i32.const 1024)))
    (if (i32.eqz (local.get $theme)) (then (return (i32.const 1056))))
    (if (i32.ne (call $byte (local.get $theme)) (i32.const 34)) (then (return (i32.const 1056))))
    (local.get $theme))

  ;; The array, and one more string behind its elements.
  (func $put_with (param $array i32) (param $string i32)
    (call $put_value (local.get $array))
    (global.set $at (i32.sub (global.get $at) (i32.const 1)))              ;; over the closing bracket
    (if (call $first (local.get $array)) (then (call $put_byte (i32.const 44))))
    (call $put_value (local.get $string))
    (call $put_byte (i32.const 93)))

  (func (export "execute") (param $input i32) (param $length i32) (result i64)
    (local $open i32) (local $theme i32)
    (local.set $open
      (call $member (call $member (local.get $input) (global.get $state)) (global.get $transformations)))
    (local.set $theme (call $theme (call $member (local.get $input) (global.get $parameters))))

    ;; Room for all of the input, the theme twice more, and the text around them.
    (call $begin (i32.add (i32.mul (local.get $length) (i32.const 3)) (i32.const 512)))
    (if (call $has (local.get $open) (local.get $theme))
      (then
        (call $say (i32.const 1216))
        (return (call $answer))))
    (call $say (i32.const 1088))
    (call $put_with (local.get $open) (local.get $theme))
    (call $say (i32.const 1152))
    (call $put_value (local.get $theme))
    (call $say (i32.const 1184))
    (call $answer))

  ;;@include json.wat
)
