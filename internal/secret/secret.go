// Package secret takes out of a URL what is not to be shown.
package secret

import (
	"regexp"
	"strings"
)

// Hide returns a text in which stars stand for the password of a URL, and for what its options name as secret. It may be no URL at
// all, or one that is wrong.
func Hide(text string) string {
	head, rest, ok := strings.Cut(text, "://")
	if !ok {
		return text
	}
	// Rather too much than too little: a password that was not escaped may have any of /?#@ in it.
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		if user, _, ok := strings.Cut(rest[:at], ":"); ok {
			rest = user + ":***" + rest[at:]
		}
	}
	if strings.ContainsAny(rest, "?&;") {
		option := regexp.MustCompile(`(?i)([?&;][^=&;]*(?:pass|secret|token|key)[^=&;]*=)[^&;#]*`) // at the start of each throttle it would cost more
		rest = option.ReplaceAllString(rest, "${1}***")
	}
	return head + "://" + rest
}
