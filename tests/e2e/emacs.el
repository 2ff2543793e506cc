;;; Drives Emacs for test_emacs.py.  -*- lexical-binding: t -*-

;; Loaded after the configuration; `lacuna-test-run' then plays one of the scenarios below with a file, and writes what happened to
;; $LACUNA_TEST_REPORT as JSON.

;;; Code:

(require 'cl-lib)
(require 'eglot)
(require 'json)

(defconst lacuna-test-patience 60 "Seconds; only a hang takes so long.")

(defvar lacuna-test-report nil "What happened: an alist of names and values.")

(defun lacuna-test-note (name value)
  "Put VALUE into the report as NAME."
  (push (cons name value) lacuna-test-report))

(defun lacuna-test-wait (what condition)
  "Wait until the function CONDITION tells something, and return it; WHAT is for the error."
  (let ((end (+ (float-time) lacuna-test-patience))
        found)
    (while (not (setq found (funcall condition)))
      (when (> (float-time) end)
        (error "Gave up waiting for %s" what))
      (accept-process-output nil 0.01))
    found))

(defun lacuna-test-text ()
  "The whole text of the buffer."
  (buffer-substring-no-properties (point-min) (point-max)))

(defun lacuna-test-take (title)
  "List the code actions at point as a person does, and take the first one whose title begins with TITLE."
  (let ((last-nonmenu-event ?x) ; a key, that is: at a click Eglot would open a menu of the window system
        listed)
    (cl-letf (((symbol-function 'completing-read)
               (lambda (_prompt collection &rest _)
                 (setq listed (all-completions "" collection))
                 (or (cl-find-if (lambda (each) (string-prefix-p title each)) listed)
                     (error "%s is not among the actions: %S" title listed)))))
      (call-interactively #'eglot-code-actions))
    (lacuna-test-note 'listed (vconcat listed))))

(defun lacuna-test-fill ()
  "Fill all holes, and take it back."
  (goto-char (point-min))
  (search-forward "___")
  (backward-char)
  (let ((before (lacuna-test-text)))
    (lacuna-test-note 'before before)
    (undo-boundary)
    (lacuna-test-take "Fill all")
    (lacuna-test-wait "the fill" (lambda () (not (equal (lacuna-test-text) before)))))
  (lacuna-test-note 'filled (lacuna-test-text))
  (undo-boundary)
  (undo-only)
  (lacuna-test-note 'undone (lacuna-test-text)))

(defun lacuna-test-hover ()
  "Ask what Eglot shows about the code at point."
  (goto-char (point-min))
  (search-forward "print")
  (backward-char)
  (let (shown)
    (eglot-hover-eldoc-function (lambda (documentation &rest _) (setq shown documentation)))
    (lacuna-test-note 'hover (substring-no-properties (lacuna-test-wait "the hover" (lambda () shown))))))

(defun lacuna-test-run (scenario file)
  "Play SCENARIO with FILE."
  (condition-case problem
      (progn
        (find-file file)
        ;; `eglot-ensure' starts the server after the command that opened the file, and in batch mode there are no commands.
        (run-hooks 'post-command-hook)
        (let ((server (lacuna-test-wait "the server" #'eglot-current-server)))
          (funcall (intern (concat "lacuna-test-" scenario)))
          (set-buffer-modified-p nil)
          (eglot-shutdown server nil lacuna-test-patience)))
    (error (lacuna-test-note 'problem (error-message-string problem))))
  (with-temp-file (getenv "LACUNA_TEST_REPORT")
    (insert (json-encode lacuna-test-report))))

;;; emacs.el ends here
